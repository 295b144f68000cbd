// Tool calls: a line each, with arguments, state and time; the output unfolds.

import { duration, el, words } from "./dom.js";
import { END_WORDS } from "./transcript.js";

const ARGUMENTS_SHOWN = 120;
const PREVIEW_SHOWN = 160;
const MARKS = { planned: "○", proposed: "?", running: "", ok: "✓", error: "✕", stopped: "■" };

export class Tools {
  #rows = new Map();
  /** Calls that ended with a result of their tool. */
  made = 0;

  /** The calls of a round, in order. Some are settled without being made. */
  plan(calls, box) {
    const list = el("div", { class: "tools" });
    box.append(list);
    for (const { call, tool, arguments: given, settled } of calls) {
      const row = this.#row(call, tool, given, list);
      if (settled) this.#finish(row, settled, "");
    }
  }

  /** The call waits for a person. */
  propose(call) {
    const row = this.#rows.get(call);
    if (row) this.#mark(row, "proposed", "needs approval");
  }

  /** A try of a call began. */
  start({ call, tool, arguments: given }, turn) {
    const row = this.#rows.get(call) ?? this.#row(call, tool, given, turn.body);
    // A person may have put others in their place.
    if (row.given) row.given.textContent = shortened(compactly(given));
    this.#mark(row, "running", "running");
  }

  /** A try failed. */
  fail(call, line) {
    this.#rows.get(call)?.box.append(line);
  }

  /** The call gave a result. */
  end(result, took) {
    const row = this.#rows.get(result.call);
    if (!row) return;
    this.made += 1;
    this.#finish(row, result, duration(took));
  }

  /** The call was stopped, or nobody knows what became of it. */
  stop(call, end) {
    const row = this.#rows.get(call);
    if (row) this.#mark(row, "stopped", END_WORDS[end] ?? words(end));
  }

  #finish(row, { status, output }, time) {
    const ok = status === "success";
    this.#mark(row, ok ? "ok" : "error", [ok ? "ok" : "error", time].filter(Boolean).join(" · "));
    row.output.textContent = output === "" ? "(no output)" : output;
    row.preview.textContent = firstLine(output).slice(0, PREVIEW_SHOWN);
  }

  #row(call, tool, given, list) {
    const compact = compactly(given);
    const shown = compact ? el("code", { class: "arguments" }, shortened(compact)) : null;
    const mark = el("span", { class: "mark", "aria-hidden": true });
    const state = el("span", { class: "tool-state" });
    const preview = el("span", { class: "preview" });
    const output = el("pre", { class: "output", tabindex: 0 }, "(no output yet)");
    const box = el(
      "details",
      { class: "tool", "data-call": call },
      el(
        "summary",
        {},
        mark,
        el("code", { class: "tool-name" }, tool),
        shown,
        preview,
        state,
      ),
      compact.length > ARGUMENTS_SHOWN ? el("pre", { tabindex: 0 }, JSON.stringify(given, null, 2)) : null,
      output,
    );
    list.append(box);
    const row = { box, mark, state, preview, output, given: shown };
    this.#rows.set(call, row);
    this.#mark(row, "planned", "");
    return row;
  }

  #mark(row, state, text) {
    row.box.dataset.state = state;
    row.mark.textContent = MARKS[state];
    row.state.textContent = text;
  }
}

/** `path: "/", count: 5` for an object, JSON for anything else. */
function compactly(given) {
  if (given === null || typeof given !== "object" || Array.isArray(given)) return JSON.stringify(given) ?? "";
  return Object.entries(given)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
    .join(", ");
}

/** The first line that says something; headings do not. */
function firstLine(text) {
  return text.split("\n", 20).find((line) => line.trim() && !line.startsWith("#")) ?? "";
}

function shortened(text) {
  return text.length > ARGUMENTS_SHOWN ? `${text.slice(0, ARGUMENTS_SHOWN)}…` : text;
}
