// Forms for what a run waits for: an answer to an agent, or a word on a call of unknown outcome.

import { el, say, sendOnEnter } from "./dom.js";

/** The form of one wait. `send(answer)` gives a promise; the form goes when the run records the answer. */
export function waitForm({ wait, for: what }, name, send) {
  return what.kind === "unknown_outcome" ? unknownForm(wait, what, send) : answerForm(wait, name, send);
}

function frame(wait, title, send, ...children) {
  const error = el("p", { class: "error", role: "alert", hidden: true });
  const form = el("form", { class: "wait", "data-wait": wait }, el("h3", {}, title), ...children, error);
  const submit = async (answer) => {
    const controls = form.querySelectorAll("button, textarea");
    controls.forEach((control) => (control.disabled = true));
    say(error, "");
    try {
      await send(answer);
    } catch (problem) {
      controls.forEach((control) => (control.disabled = false));
      say(error, problem.message);
      form.querySelector("textarea")?.focus();
    }
  };
  return { form, submit };
}

function answerForm(wait, name, send) {
  const text = el("textarea", {
    rows: 2,
    required: true,
    placeholder: `Your answer to ${name}`,
    "aria-label": `Your answer to ${name}`,
  });
  const line = el("div", { class: "wait-line" }, el("button", { type: "submit" }, "Answer"));
  const { form, submit } = frame(wait, `${name} waits for your answer`, send, text, line);
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
