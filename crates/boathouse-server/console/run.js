// The page of one run: follows it, draws it once a frame, and tells the server what its buttons say.

import { api } from "./api.js";
import { byId, duration, el, say, words } from "./dom.js";
import { Follower } from "./stream.js";
import { Transcript, tokens } from "./transcript.js";

/** How long one frame may spend on what has come. */
const FRAME_MS = 10;
/** Closer to the page's end than this, the page goes along with what is added. */
const NEAR_END_PX = 120;

export class RunPage {
  #queue = [];
  #next = 0;
  #scheduled = false;
  #closed = false;
  #controls = new AbortController();

  /** `host` gives `definition(crew)`, `connection`, and is told `changed()`, `missing()` and `ended(crew)`. */
  constructor(id, host) {
    this.id = id;
    this.host = host;
    this.strip = new Map();
  }

  async open() {
    byId("flow").replaceChildren();
    byId("strip").replaceChildren();
    byId("run-title").textContent = "…";
    byId("figures").textContent = "";
    this.#showState("queued");
    say(byId("run-error"), "");
    const { signal } = this.#controls;
    for (const verb of ["pause", "resume", "cancel"]) {
      byId(verb).disabled = false;
      byId(verb).addEventListener("click", () => this.#tell(verb), { signal });
    }
    byId("try-again").disabled = false;
    byId("try-again").addEventListener("click", () => this.#retry(), { signal });
    this.follower = new Follower(this.id, {
      item: (item) => this.#enqueue(item),
      view: (view) => this.#enqueue({ type: "view", view }),
      lost: (ms, why) => this.host.connection.lost(ms, why),
      found: () => this.host.connection.found(),
      missing: () => {
        if (!this.#closed) this.host.missing();
      },
    });
    this.clock = setInterval(() => this.#figures(), 1000);
    this.known = api.run(this.id).catch(() => null);
    await this.follower.follow();
  }

  close() {
    this.#closed = true;
    this.follower?.stop();
    this.#controls.abort();
    clearInterval(this.clock);
    this.host.connection.found();
  }

  nudge() {
    this.follower?.nudge();
  }

  #enqueue(item) {
    this.#queue.push(item);
    this.#schedule();
  }

  #schedule() {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    // A hidden page gets no frames, but its title still tells the state.
    if (document.hidden) setTimeout(() => this.#drain(), 100);
    else requestAnimationFrame(() => this.#drain());
  }

  async #drain() {
    if (this.#closed) return;
    if (!this.transcript && !(await this.#begin())) return;
    const page = document.documentElement;
    const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < NEAR_END_PX;
    const until = performance.now() + FRAME_MS;
    this.transcript.newWait = null;
    while (this.#next < this.#queue.length && performance.now() < until) {
      const item = this.#queue[this.#next++];
      try {
        if (item.type === "view") this.#rest(item.view);
        else this.transcript.apply(item);
      } catch (error) {
        // One event that cannot be shown does not hide the others.
        console.error(item.type, error);
      }
    }
    this.transcript.flush();
    const caughtUp = this.#next >= this.#queue.length;
    if (caughtUp) {
      this.#queue.length = 0;
      this.#next = 0;
    }
    if (this.dirty) this.#refresh();
    if (atEnd && this.follows) window.scrollTo(0, page.scrollHeight);
    this.#focusWait();
    this.#scheduled = false;
    if (!caughtUp) this.#schedule();
  }

  /** The first event says which crew it is. */
  async #begin() {
    const first = this.#queue[this.#next];
    if (first?.type !== "run_started") {
      this.#scheduled = false;
      return false;
    }
    this.crew = first.crew;
    // Without the definition agents are shown by their ids.
    const [crew, known] = await Promise.all([this.host.definition(first.crew).catch(() => null), this.known]);
    if (this.#closed) return false;
    // A run that has ended is read from its beginning; one that lives is watched at its end.
    this.follows = !known || ["queued", "running", "paused"].includes(known.state);
    byId("run-title").textContent = first.crew;
    this.transcript = new Transcript(byId("flow"), {
      crew,
      answer: (body) => this.#say(api.answer(this.id, body)),
      decide: (body) => this.#say(api.decide(this.id, body)),
      changed: () => (this.dirty = true),
    });
    for (const agent of crew?.agents ?? []) {
      const chip = el("li", { "data-agent": agent.id, "data-voice": this.transcript.agent(agent.id).voice }, agent.name || agent.id);
      this.strip.set(agent.id, chip);
      byId("strip").append(chip);
    }
    return true;
  }

  /** The stream has ended: the run's own word on its state. */
  #rest(view) {
    const { transcript } = this;
    if (transcript.ended || view.seq < this.follower.seq) return;
    transcript.state = view.state;
    this.dirty = true;
  }

  #refresh() {
    this.dirty = false;
    const { transcript } = this;
    const waiting = transcript.openWait();
    const working = transcript.working();
    for (const [agent, chip] of this.strip) {
      const state = working.has(agent) ? "working" : transcript.seen.has(agent) ? "done" : null;
      if (state) chip.dataset.state = state;
      if (state === "working") chip.setAttribute("aria-current", "step");
      else chip.removeAttribute("aria-current");
    }
    this.#showState(transcript.state, waiting);
    this.#figures();
    const state = `${transcript.state} ${transcript.waits.size}`;
    if (state !== this.told) {
      this.told = state;
      this.host.changed();
      byId("status").textContent = waiting
        ? waiting.querySelector("h3").textContent
        : `The run of ${this.crew} is ${words(transcript.state)}`;
      document.title = `${waiting ? "waits for you" : words(transcript.state)} · ${this.crew} · Boathouse`;
    }
    if (transcript.ended && !this.wasEnded) {
      this.wasEnded = true;
      clearInterval(this.clock);
      this.host.ended(this.crew);
    }
  }

  #showState(state, waiting = null) {
    const badge = byId("state");
    badge.dataset.state = state;
    const { ended = false, pausing = false, operatorPaused = false, cancelling = false } = this.transcript ?? {};
    const doing = cancelling ? "cancelling" : pausing ? "pausing" : null;
    if (doing && !ended) badge.textContent = doing;
    else badge.textContent = waiting && state === "paused" ? "waits for you" : words(state);
    const live = !ended && Boolean(this.transcript);
    byId("cancel").hidden = !live || cancelling;
    byId("try-again").hidden = !ended || !["failed", "limit_reached", "cancelled"].includes(state);
    byId("resume").hidden = !live || !operatorPaused || cancelling;
    byId("pause").hidden = !live || pausing || operatorPaused || cancelling || state !== "running";
  }

  #figures() {
    const { transcript } = this;
    if (!transcript || transcript.startedAt === null) return;
    const until = transcript.endedAt ?? Date.now();
    const took = duration(Math.max(0, until - transcript.startedAt));
    byId("figures").textContent = [took, tokens(transcript.usage)].filter(Boolean).join(" · ");
  }

  /** Takes the keyboard to a question that has just come, unless somebody is writing elsewhere. */
  #focusWait() {
    const form = this.transcript.newWait;
    if (!form || !form.isConnected) return;
    const at = document.activeElement;
    if (at instanceof HTMLTextAreaElement && at.value && at.offsetParent) return;
    // No button gets the keyboard by itself: a key that is on its way must not approve anything.
    const field = form.querySelector(":scope > textarea") ?? form.querySelector("h3");
    field.focus({ preventScroll: true });
    form.scrollIntoView({ block: "nearest" });
  }

  async #say(said) {
    await said;
    this.nudge();
  }

  /** Goes on to the new run. */
  async #retry() {
    byId("try-again").disabled = true;
    say(byId("run-error"), "");
    try {
      const { id } = await api.retry(this.id);
      if (!this.#closed) location.hash = `run=${encodeURIComponent(id)}`;
    } catch (error) {
      if (!this.#closed) say(byId("run-error"), error.message);
    } finally {
      if (!this.#closed) byId("try-again").disabled = false;
    }
  }

  async #tell(verb) {
    byId(verb).disabled = true;
    say(byId("run-error"), "");
    try {
      await api.tell(this.id, verb);
    } catch (error) {
      if (!this.#closed) say(byId("run-error"), error.message);
    } finally {
      if (!this.#closed) byId(verb).disabled = false;
    }
    this.nudge();
  }
}
