// Replies of models while they stream and when they are whole.

import { el, words } from "./dom.js";
import { END_WORDS } from "./transcript.js";

const utf8 = new TextEncoder();
const bytesOf = (text) => utf8.encode(text).length;

export class Replies {
  #live = new Map();
  #dirty = new Set();

  /** A try of a model call began. */
  begin({ call, attempt, provider, model }, turn) {
    const known = this.#live.get(call);
    if (known) {
      this.#restart(known, attempt);
      return;
    }
    const node = document.createTextNode("");
    const box = el("p", { class: "text live", "data-call": call, title: `${provider}/${model}` }, node);
    turn.body.append(box);
    this.#live.set(call, { attempt, node, box, pending: "", bytes: 0 });
  }

  #restart(reply, attempt) {
    reply.attempt = attempt;
    reply.pending = "";
    reply.bytes = 0;
    reply.node.data = "";
    reply.box.parentNode?.append(reply.box);
  }

  /** A piece of a reply. `offset` counts bytes of UTF-8. */
  delta({ call, attempt, offset, text }) {
    const reply = this.#live.get(call);
    if (!reply || attempt < reply.attempt) return;
    if (attempt > reply.attempt) this.#restart(reply, attempt);
    if (offset < reply.bytes) return;
    // What is missing in between comes with the whole reply.
    if (offset > reply.bytes) reply.pending += " … ";
    reply.pending += text;
    reply.bytes = offset + bytesOf(text);
    this.#dirty.add(reply);
  }

  /** The whole text so far. */
  snapshot({ call, attempt, text }) {
    const reply = this.#live.get(call);
    if (!reply || attempt < reply.attempt) return;
    reply.attempt = attempt;
    reply.node.data = "";
    reply.pending = text;
    reply.bytes = bytesOf(text);
    this.#dirty.add(reply);
  }

  /** Deltas were lost; a snapshot follows for what is still in flight. */
  gap() {
    for (const reply of this.#live.values()) reply.pending += " … ";
  }

  /** Writes the pieces that came since the last time. */
  flush() {
    for (const reply of this.#dirty) {
      reply.node.appendData(reply.pending);
      reply.pending = "";
    }
    this.#dirty.clear();
  }

  /** A try failed: its text goes, `line` says why; `last` if no other follows. False if the call is none of a model. */
  fail(call, attempt, line, last) {
    const reply = this.#live.get(call);
    if (!reply) return false;
    this.#restart(reply, attempt + 1);
    reply.box.before(line);
    if (last) this.#take(call).box.remove();
    return true;
  }

  /** The reply is whole: its text takes the place of the pieces, a routing signal at its end is set apart. */
  end(call, turn, { text }, signals) {
    const reply = this.#take(call) ?? { box: el("p", { class: "text", "data-call": call }) };
    if (!reply.box.isConnected) turn.body.append(reply.box);
    reply.box.classList.remove("live");
    const whole = text.trim();
    const signal = signals.find((signal) => whole.endsWith(signal));
    const spoken = signal ? whole.slice(0, -signal.length).trimEnd() : whole;
    if (!whole) {
      reply.box.remove();
      return;
    }
    // The same text is left standing, so that a selection in it survives.
    const blocks = laidOut(spoken);
    if (blocks.length > 1 || reply.node?.data !== spoken) reply.box.replaceChildren(...blocks);
    if (signal) reply.box.append(el("span", { class: "signal", title: "routing signal" }, signal));
  }

  /** The call was stopped. False if it is none of a model. */
  stop(call, end) {
    const reply = this.#take(call);
    if (!reply) return false;
    reply.box.classList.remove("live");
    reply.box.after(el("p", { class: "note warn" }, `The reply was cut: ${END_WORDS[end] ?? words(end)}.`));
    if (!reply.node.data) reply.box.remove();
    return true;
  }

  /** The run is over: nothing is in flight. */
  settle() {
    for (const call of [...this.#live.keys()]) this.#take(call).box.classList.remove("live");
  }

  #take(call) {
    const reply = this.#live.get(call);
    if (!reply) return null;
    if (reply.pending) reply.node.appendData(reply.pending);
    this.#dirty.delete(reply);
    this.#live.delete(call);
    return reply;
  }
}

/** The text in pieces: fenced blocks and tables of aligned columns stand in type of even width. */
function laidOut(text) {
  const pieces = [];
  let plain = "";
  const even = (block) => {
    plain = plain.replace(/\n+$/, "");
    if (plain) pieces.push(plain);
    plain = "";
    pieces.push(el("span", { class: "even" }, block));
  };
  for (const part of text.split(/(^```[^\n]*\n[^]*?^```[^\n]*$|\n{2,})/m)) {
    if (part.startsWith("```")) even(part.replace(/^[^\n]*\n/, "").replace(/\n?[^\n]*$/, ""));
    else if (isTable(part)) even(part);
    // A block stands apart by itself.
    else if (plain || part.trim()) plain += part;
  }
  if (plain) pieces.push(plain);
  return pieces;
}

/** Two lines in a row with columns that are set apart by runs of spaces. */
function isTable(block) {
  const columns = block.split("\n").map((line) => /\S {2,}\S/.test(line));
  return columns.some((is, place) => is && columns[place + 1]);
}
