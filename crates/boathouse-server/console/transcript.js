// A run as people read it: cards by agent, tools, branches side by side, questions, the outcome. Events and deltas are
// applied one by one and only ever add to what is there or change the few elements that they speak of.

import { count, duration, el, words } from "./dom.js";
import { Replies } from "./replies.js";
import { Tools } from "./tools.js";
import { decided, waitForm } from "./waits.js";

const VOICES = 6;
const MAIN_BRANCH = 0;

export class Transcript {
  /**
   * Writes into `root`. `crew` is the crew's definition or null. `answer(body)` and `decide(body)` send what a person says
   * and give a promise; `changed()` is called when state, figures or agents at work may have changed.
   */
  constructor(root, { crew, answer, decide, changed }) {
    this.crew = crew;
    this.answer = answer;
    this.decide = decide;
    this.changed = changed;
    this.state = "queued";
    this.usage = { input_tokens: 0, output_tokens: 0 };
    this.replyCount = 0;
    this.startedAt = null;
    this.endedAt = null;
    this.flows = new Map([[MAIN_BRANCH, { box: root, turn: null }]]);
    this.agents = new Map((crew?.agents ?? []).map((agent, place) => [agent.id, { ...agent, voice: place % VOICES }]));
    this.signals = new Map((crew?.agents ?? []).map((agent) => [agent.id, agent.signals.map(({ signal }) => signal)]));
    this.waits = new Map();
    /** Agents that have had a turn. */
    this.seen = new Set();
    this.replies = new Replies();
    this.tools = new Tools();
  }

  /** Applies one event or delta. Types that this page does not know are passed over. */
  apply(item) {
    if (item.at) this.now = Date.parse(item.at);
    this[`on_${item.type}`]?.(item);
  }

  /** Writes what was gathered for replies in flight. */
  flush() {
    this.replies.flush();
  }

  get ended() {
    return this.endedAt !== null;
  }

  /** Agents that have a turn now. */
  working() {
    if (this.ended) return new Set();
    return new Set([...this.flows.values()].filter((flow) => flow.turn).map((flow) => flow.turn.agent));
  }

  /** The form of a wait that is still open. */
  openWait() {
    return this.waits.values().next().value ?? null;
  }

  agent(id) {
    if (!this.agents.has(id)) this.agents.set(id, { id, name: id, role: "", voice: this.agents.size % VOICES });
    return this.agents.get(id);
  }

  name(id) {
    return this.agent(id).name || id;
  }

  #flow(branch) {
    return this.flows.get(branch) ?? this.flows.get(MAIN_BRANCH);
  }

  #note(branch, kind, ...children) {
    this.#flow(branch).box.append(el("p", { class: `note ${kind}` }, ...children));
  }

  #turn(branch, agent) {
    const flow = this.#flow(branch);
    if (flow.turn?.agent === agent) return flow.turn;
    this.#endTurn(flow);
    const { name, role, voice } = this.agent(agent);
    const body = el("div", { class: "turn-body" });
    const figures = el("span", { class: "figures" });
    const card = el(
      "article",
      { class: "turn", "data-agent": agent, "data-voice": voice, "data-live": true, "aria-label": name || agent },
      el(
        "header",
        {},
        el("span", { class: "face", "aria-hidden": true }, Array.from(name || agent)[0]?.toUpperCase() ?? "?"),
        el("strong", {}, name || agent),
        role ? el("span", { class: "role" }, role) : null,
        figures,
      ),
      body,
    );
    flow.box.append(card);
    this.seen.add(agent);
    flow.turn = { agent, card, body, figures, usage: { input_tokens: 0, output_tokens: 0 }, since: this.now };
    return flow.turn;
  }

  #endTurn(flow) {
    flow.turn?.card.removeAttribute("data-live");
    flow.turn = null;
  }

  on_run_started({ at, input, history, pinned, queued }) {
    this.startedAt = Date.parse(at);
    this.state = queued ? "queued" : "running";
    if (pinned?.messages) this.#note(MAIN_BRANCH, "quiet", `${count(pinned.messages, "earlier message")} on its thread`);
    if (history?.length) this.#note(MAIN_BRANCH, "quiet", `${count(history.length, "earlier message")} in the history`);
    this.#person(MAIN_BRANCH, input);
    this.changed();
  }

  on_begun({ pinned }) {
    this.state = "running";
    const before = pinned?.messages ? `, after ${count(pinned.messages, "message")} on its thread` : "";
    this.#note(MAIN_BRANCH, "quiet", `Its turn has come${before}`);
    this.changed();
  }

  #person(branch, text) {
    this.#flow(branch).box.append(
      el("article", { class: "person", "aria-label": "You" }, el("p", { class: "text" }, text)),
    );
  }

  on_call_started(event) {
    if (event.purpose === "summary") {
      this.#note(event.branch, "quiet", "Older messages are summed up");
      return;
    }
    const turn = this.#turn(event.branch, event.agent);
    if (event.kind === "model") {
      this.replies.begin(event, turn);
    } else {
      this.tools.start(event, turn);
    }
    this.changed();
  }

  on_delta(delta) {
    this.replies.delta(delta);
  }

  on_reply_snapshot(snapshot) {
    this.replies.snapshot(snapshot);
  }

  on_gap() {
    this.replies.gap();
  }

  on_attempt_failed({ call, attempt, error, next, took_ms }) {
    const then = { again: "trying again", backup: "asking the next model", give_up: "giving up" }[next.do] ?? "";
    const line = el(
      "p",
      { class: "note warn" },
      `Try ${attempt} failed after ${duration(took_ms)} (${words(error.kind)}): ${error.message}; ${then}`,
    );
    if (!this.replies.fail(call, attempt, line, next.do === "give_up")) this.tools.fail(call, line);
  }

  on_model_replied({ call, branch, agent, reply }) {
    const turn = this.#turn(branch, agent);
    this.replies.end(call, turn, reply, this.signals.get(agent) ?? []);
    this.replyCount += 1;
    if (reply.usage) {
      for (const kind of ["input_tokens", "output_tokens"]) {
        this.usage[kind] += reply.usage[kind];
        turn.usage[kind] += reply.usage[kind];
      }
    }
    this.#turnFigures(turn);
    if (reply.finish === "length") this.#noteIn(turn, "warn", "The reply was cut at the model's token limit.");
    this.changed();
  }

  #turnFigures(turn) {
    turn.figures.textContent = [tokens(turn.usage), duration(this.now - turn.since)].filter(Boolean).join(" · ");
  }

  #noteIn(turn, kind, text) {
    turn.body.append(el("p", { class: `note ${kind}` }, text));
  }

  on_round_started({ branch, calls, limit }) {
    const { turn, box } = this.#flow(branch);
    this.tools.plan(calls, turn?.body ?? box);
    if (limit) this.#note(branch, "warn", `The limit ${limit} forbids more tool calls.`);
  }

  on_tool_returned({ branch, result, took_ms }) {
    this.tools.end(result, took_ms);
    const { turn } = this.#flow(branch);
    if (turn) this.#turnFigures(turn);
    this.changed();
  }

  on_call_stopped({ call, end }) {
    if (!this.replies.stop(call, end)) this.tools.stop(call, end);
  }

  on_handed_off({ branch, from, to, via }) {
    const flow = this.#flow(branch);
    this.#endTurn(flow);
    flow.box.append(
      el(
        "p",
        { class: "handoff" },
        el("span", { "aria-hidden": true }, "↓ "),
        `${this.name(from)} hands over to `,
        el("strong", {}, this.name(to)),
        why(via),
      ),
    );
    this.changed();
  }

  on_forked({ branch, group, branches }) {
    const flow = this.#flow(branch);
    this.#endTurn(flow);
    const lanes = el("div", { class: "lanes", tabindex: 0, role: "group", "aria-label": `Branches of ${group}` });
    for (const [id, agent] of branches) {
      const state = el("span", { class: "lane-state" }, "working");
      const box = el("div", { class: "flow" });
      const lane = el(
        "section",
        { class: "lane", "data-state": "running", "aria-label": this.name(agent) },
        el("header", {}, state),
        box,
      );
      lanes.append(lane);
      this.flows.set(id, { box, turn: null, lane, state });
    }
    flow.box.append(
      el(
        "section",
        { class: "fork", "aria-label": `Parallel group ${group}` },
        el("p", { class: "handoff" }, el("strong", {}, group), `: ${count(branches.length, "agent")} side by side`),
        lanes,
      ),
    );
  }

  on_branch_ended({ branch, end }) {
    const flow = this.#flow(branch);
    // What the branch asked is not asked any more.
    for (const [wait, form] of this.waits) {
      if (flow.lane?.contains(form)) {
        this.waits.delete(wait);
        form.remove();
      }
    }
    this.#endTurn(flow);
    if (flow.lane) {
      flow.lane.dataset.state = end.status;
      flow.state.textContent = [words(end.status), end.error ?? end.limit].filter(Boolean).join(": ");
    }
    this.changed();
  }

  on_group_closing({ branch, why: reason }) {
    const text = {
      enough: "The group has what it needs; the other branches are stopped.",
      failed: "A branch failed; the other branches are stopped.",
      timed_out: "The group's time is over; its branches are stopped.",
    }[reason];
    this.#note(branch, reason === "enough" ? "quiet" : "warn", text ?? words(reason));
  }

  on_joined({ branch, group, output, completed, failed }) {
    const missing = failed.map(([agent, error]) => `${this.name(agent)}: ${error}`).join("; ");
    this.#flow(branch).box.append(
      el(
        "details",
        { class: "join" },
        el(
          "summary",
          {},
          el("strong", {}, group),
          ` joined: ${count(completed, "branch", "branches")} completed`,
          missing ? el("span", { class: "bad" }, `, without ${missing}`) : null,
        ),
        el("pre", { tabindex: 0 }, output),
      ),
    );
  }

  on_wait_opened(event) {
    const flow = this.#flow(event.branch);
    const name = this.name(event.agent);
    const form = waitForm(event, name, {
      answer: (body) => this.answer({ wait: event.wait, ...body }),
      decide: (body) => this.decide(body),
    });
    if (event.for.kind === "approval") this.tools.propose(event.for.call);
    (flow.turn?.body ?? flow.box).append(form);
    this.waits.set(event.wait, form);
    this.newWait = form;
    this.changed();
  }

  on_answered({ wait, answer, by }) {
    const decision = decided(answer, by);
    if (decision) return this.#close(wait, decision);
    const form = this.waits.get(wait);
    this.waits.delete(wait);
    if (!this.waits.size && !this.operatorPaused && this.state === "paused") this.state = "running";
    const flow = [...this.flows.values()].find(({ box }) => form && form.closest(".flow") === box);
    if (flow) this.#endTurn(flow);
    const text = {
      text: answer.text,
      rerun: "It is to be run again.",
      done: `It was done: ${answer.output}`,
      fail: "It counts as failed.",
    }[answer.kind];
    (flow?.box ?? this.#flow(MAIN_BRANCH).box).append(
      el("article", { class: "person", "aria-label": "You" }, el("p", { class: "text" }, text ?? words(answer.kind))),
    );
    form?.remove();
    this.changed();
  }

  /** A call was decided about: the agent's turn goes on. */
  #close(wait, text) {
    const form = this.waits.get(wait);
    this.waits.delete(wait);
    if (!this.waits.size && !this.operatorPaused && this.state === "paused") this.state = "running";
    form?.replaceWith(el("p", { class: "note decision" }, text));
    this.changed();
  }

  on_history_trimmed({ branch, dropped }) {
    this.#note(branch, "quiet", `${count(dropped, "old message")} no longer fit into prompts.`);
  }

  on_taken_over({ lost }) {
    for (const call of lost) if (!this.replies.stop(call, "lost")) this.tools.stop(call, "lost");
    this.#note(MAIN_BRANCH, "warn", "The server was restarted; the run goes on from its log.");
  }

  on_pause_requested() {
    this.pausing = true;
    this.#note(MAIN_BRANCH, "quiet", "A pause was asked for: what is in flight ends, nothing new starts.");
    this.changed();
  }

  on_paused() {
    this.pausing = false;
    this.operatorPaused = true;
    this.state = "paused";
    this.changed();
  }

  on_resumed() {
    this.pausing = false;
    this.operatorPaused = false;
    this.state = "running";
    this.#note(MAIN_BRANCH, "quiet", "The run goes on.");
    this.changed();
  }

  on_cancel_requested({ reason }) {
    this.cancelling = true;
    const by = { requested: "", disconnected: " because its client went away", shutdown: " because the server ended" };
    this.#note(MAIN_BRANCH, "warn", `The run is being cancelled${by[reason] ?? ""}.`);
    this.changed();
  }

  on_timed_out({ timer }) {
    if (timer.wait !== undefined) return this.#close(timer.wait, "Nobody decided in time: the call was not made.");
    this.#note(MAIN_BRANCH, "warn", timer === "run" ? "The run's time is over." : "The time of a parallel group is over.");
  }

  on_run_ended(event) {
    this.endedAt = Date.parse(event.at);
    this.usage = event.usage;
    this.state = event.state;
    this.replies.settle();
    for (const flow of this.flows.values()) this.#endTurn(flow);
    for (const form of this.waits.values()) form.remove();
    this.waits.clear();
    this.flows.get(MAIN_BRANCH).box.append(this.#outcome(event));
    this.changed();
  }

  #outcome(event) {
    const took = this.startedAt === null ? null : duration(this.endedAt - this.startedAt);
    const figures = [took, count(this.replyCount, "reply", "replies"), count(this.tools.made, "tool call"), tokens(event.usage)];
    const headline = {
      completed: "Completed",
      cancelled: "Cancelled: nothing of it runs any more",
      failed: "Failed",
      limit_reached: `Stopped by the limit ${event.limit}`,
    }[event.state];
    const box = el(
      "section",
      { class: "outcome", id: "outcome", "data-state": event.state, "aria-label": "Outcome" },
      el("h2", {}, headline ?? words(event.state)),
      el("p", { class: "figures" }, figures.filter(Boolean).join(" · ")),
    );
    if (event.error) box.append(el("p", { class: "text" }, event.error), el("p", { class: "muted" }, `code ${event.code}`));
    if (event.receipt) box.append(this.#receipt(event.receipt));
    return box;
  }

  #receipt(lines) {
    if (!lines.length) return el("p", { class: "receipt" }, "Receipt: no call was in flight.");
    const rows = lines.map((line) =>
      el(
        "tr",
        {},
        el("td", {}, this.name(line.agent)),
        el("td", {}, line.tool ?? "model call"),
        el("td", {}, END_WORDS[line.end] ?? words(line.end)),
      ),
    );
    return el(
      "table",
      { class: "receipt" },
      el("caption", {}, "Receipt: what became of the calls that were in flight"),
      el("thead", {}, el("tr", {}, el("th", {}, "Agent"), el("th", {}, "Call"), el("th", {}, "What became of it"))),
      el("tbody", {}, ...rows),
    );
  }
}

/** What became of a stopped call, for people. */
export const END_WORDS = {
  finished: "came to its end",
  dropped: "dropped at once",
  disconnected: "its connection was closed",
  terminated: "its processes were ended",
  killed: "its processes were killed",
  abandoned: "left alone; a late result is discarded",
  unknown: "nobody knows whether it happened",
  lost: "lost in a crash",
};

function why(via) {
  // A signal stands at the end of the reply above.
  return { default: " by default", handoff_target: " as the first hand-off target", next_agent: " with what the group found" }[via] ?? "";
}

export function tokens({ input_tokens, output_tokens }) {
  if (!input_tokens && !output_tokens) return "";
  return `${input_tokens.toLocaleString("en")} + ${output_tokens.toLocaleString("en")} tokens`;
}
