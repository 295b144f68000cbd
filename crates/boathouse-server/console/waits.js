// Forms for what a run waits for: an answer to an agent, leave to make a call, or a word on a call of unknown outcome.
// What a call would do is shown from its real arguments, never in the words of the model that asked for it.

import { el, say, sendOnEnter } from "./dom.js";

/**
 * The form of one wait. `answer(body)` and `decide(body)` give a promise; the form goes when the run records what was
 * said.
 */
export function waitForm({ wait, for: what }, name, { answer, decide }) {
  if (what.kind === "approval") return approvalForm(wait, what, name, decide);
  return what.kind === "unknown_outcome" ? unknownForm(wait, what, answer) : answerForm(wait, name, answer, what.schema);
}

function frame(wait, title, send, ...children) {
  const error = el("p", { class: "error", role: "alert", hidden: true });
  const form = el("form", { class: "wait", "data-wait": wait }, el("h3", { tabindex: -1 }, title), ...children, error);
  const submit = async (answer) => {
    const controls = form.querySelectorAll("button, textarea");
    controls.forEach((control) => (control.disabled = true));
    say(error, "");
    try {
      await send(answer);
    } catch (problem) {
      controls.forEach((control) => (control.disabled = false));
      say(error, problem.message);
      form.querySelector("textarea:not([hidden] *)")?.focus();
    }
  };
  return { form, submit, error };
}

function answerForm(wait, name, send, schema) {
  const text = el("textarea", {
    rows: 2,
    required: true,
    placeholder: `Your answer to ${name}`,
    "aria-label": `Your answer to ${name}`,
  });
  const line = el("div", { class: "wait-line" }, el("button", { type: "submit" }, "Answer"));
  const wanted = schema
    ? el(
        "details",
        {},
        el("summary", {}, "The answer must have this form"),
        el("pre", { tabindex: 0 }, JSON.stringify(schema, null, 2)),
      )
    : null;
  const { form, submit } = frame(wait, `${name} waits for your answer`, send, wanted, text, line);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (text.value.trim()) submit({ text: text.value.trim() });
  });
  sendOnEnter(text);
  return form;
}

function unknownForm(wait, { tool, arguments: given }, send) {
  const output = el("textarea", { rows: 2, "aria-label": "What it gave", placeholder: "What it gave, if it was done" });
  const choice = (label, kind) => el("button", { type: "button", class: "quiet", "data-choice": kind }, label);
  const rerun = choice("Run it again", "rerun");
  const done = choice("It was done", "done");
  const fail = choice("It failed", "fail");
  const { form, submit } = frame(
    wait,
    `Nobody knows whether ${tool} happened`,
    send,
    el("p", {}, "It may not be made twice by itself. Look whether it happened, then say how the run goes on."),
    el("pre", { tabindex: 0 }, JSON.stringify(given, null, 2)),
    output,
    el("div", { class: "wait-line" }, rerun, done, fail),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  rerun.addEventListener("click", () => submit({ rerun: true }));
  done.addEventListener("click", () => submit({ done: output.value }));
  fail.addEventListener("click", () => submit({ fail: true }));
  return form;
}

/** What a person may do with a call beside approving it as it is: a text each. */
const WAYS = {
  edit: { label: "Edit", field: "Arguments, as JSON", send: "Approve with these arguments", rows: 6 },
  reject: { label: "Reject", field: "Why not? The agent is told.", send: "Reject", rows: 2 },
  respond: { label: "Respond", field: "The result, in the tool's place", send: "Give this result", rows: 3 },
};

function approvalForm(wait, { tool, arguments: given, digest, expires_at }, name, send) {
  const choice = (label, kind, quiet = true) =>
    el("button", { type: "button", class: quiet ? "quiet" : false, "data-choice": kind }, label);
  const approve = choice("Approve", "approve", false);
  const ways = Object.entries(WAYS).map(([kind, { label }]) => choice(label, kind));
  const label = el("label", {});
  const text = el("textarea", { rows: 2, spellcheck: "false" });
  const back = choice("Back", "back");
  const confirm = el("button", { type: "submit" }, "");
  const panel = el("div", { class: "wait-panel", hidden: true }, label, el("div", { class: "wait-line" }, back, confirm));
  const buttons = el("div", { class: "wait-line" }, approve, ...ways);
  const { form, submit, error } = frame(
    wait,
    `${name} asks to call ${tool}`,
    send,
    el("pre", { tabindex: 0, class: "arguments-asked" }, JSON.stringify(given, null, 2)),
    expires_at ? el("p", { class: "muted" }, `Nobody's word by ${new Date(expires_at).toLocaleString()} is a no.`) : null,
    buttons,
    panel,
  );
  let way = null;
  const decide = (decision) => submit({ approval: wait, digest, ...decision });
  const show = (kind) => {
    way = kind;
    panel.hidden = !kind;
    buttons.hidden = Boolean(kind);
    say(error, "");
    if (!kind) return approve.focus();
    label.replaceChildren(WAYS[kind].field, text);
    text.rows = WAYS[kind].rows;
    text.value = kind === "edit" ? JSON.stringify(given, null, 2) : "";
    confirm.textContent = WAYS[kind].send;
    text.focus();
  };
  approve.addEventListener("click", () => decide({ decision: "approve" }));
  for (const button of ways) button.addEventListener("click", () => show(button.dataset.choice));
  back.addEventListener("click", () => show(null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!way) return;
    if (way === "reject") return decide({ decision: way, ...(text.value.trim() && { reason: text.value.trim() }) });
    if (way === "respond") return decide({ decision: way, result: text.value });
    try {
      decide({ decision: way, arguments: JSON.parse(text.value) });
    } catch (problem) {
      say(error, `This is not JSON: ${problem.message}`);
      text.focus();
    }
  });
  return form;
}

/** What was decided about a call, as people read it. */
export function decided(answer, by) {
  const text = {
    approve: "Approved.",
    edit: `Approved with other arguments: ${JSON.stringify(answer.arguments)}`,
    reject: answer.reason ? `Rejected: ${answer.reason}` : "Rejected.",
    respond: `Answered in the tool's place: ${answer.output}`,
  }[answer.kind];
  return text && by && by !== "anonymous" ? `${by}: ${text}` : text;
}
