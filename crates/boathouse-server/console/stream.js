// Follows one run: reads its stream, comes back after every cut, and waits while the run is paused.

import { api, problem } from "./api.js";

/** Without a byte for so long the connection counts as dead; the server sends a heartbeat every 15 s. */
const SILENCE_MS = 45_000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15_000;
/** How often a paused run is asked whether somebody else let it go on. */
const REST_MS = 3000;

export class Follower {
  /**
   * `on.item(json)` gets every event and delta; `on.view(run)` the run when its stream came to rest;
   * `on.lost(ms, why)` that the next try is in `ms`, with the server's reason if it gave one; `on.found()` that the server answers; `on.missing()` that it knows no
   * such run.
   */
  constructor(run, on) {
    this.run = run;
    this.on = on;
    this.seq = 0;
    this.stopped = false;
    this.abort = new AbortController();
    this.wake = () => {};
  }

  stop() {
    this.stopped = true;
    this.abort.abort();
    this.wake();
  }

  /** Something was done to the run, or somebody does not want to wait: look now. */
  nudge() {
    this.wake();
  }

  async follow() {
    let retry = FIRST_RETRY_MS;
    while (!this.stopped) {
      try {
        const before = this.seq;
        if (await this.#read()) return;
        retry = FIRST_RETRY_MS;
        if (this.stopped) return;
        const view = await api.run(this.run);
        if (this.stopped) return;
        if (view.seq > this.seq) {
          // A server that shuts down ends streams too.
          if (this.seq === before) await this.#sleep(FIRST_RETRY_MS);
          continue;
        }
        this.on.view(view);
        await this.#sleep(view.state === "paused" ? REST_MS : FIRST_RETRY_MS);
        if (view.state === "paused") await this.#changed(view.seq);
      } catch (error) {
        if (this.stopped) return;
        if (error.status === 404) return this.on.missing();
        this.on.lost(retry, error.status ? error.message : undefined);
        await this.#sleep(retry);
        retry = Math.min(retry * 2, LAST_RETRY_MS);
      }
    }
  }

  /** Waits until a run at rest has something new. */
  async #changed(seq) {
    while (!this.stopped) {
      const view = await api.run(this.run);
      if (this.stopped || view.seq > seq) return;
      this.on.found();
      await this.#sleep(REST_MS);
    }
  }

  /** Reads one stream to its end. True if the run has ended and everything of it was read. */
  async #read() {
    this.abort = new AbortController();
    let silence = setTimeout(() => this.abort.abort(), SILENCE_MS);
    try {
      const response = await fetch(api.events(this.run, this.seq), {
        headers: { accept: "text/event-stream" },
        cache: "no-store",
        signal: this.abort.signal,
      });
      if (!response.ok) throw await problem(response);
      this.on.found();
      if (response.status === 204) return true;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.stopped) return this.ended;
        clearTimeout(silence);
        silence = setTimeout(() => this.abort.abort(), SILENCE_MS);
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          // Every frame of this stream has one line of data.
          if (line.startsWith("data: ")) this.#item(JSON.parse(line.slice(6)));
        }
      }
    } finally {
      clearTimeout(silence);
    }
  }

  #item(item) {
    if (item.seq !== undefined) {
      if (item.seq <= this.seq) return;
      this.seq = item.seq;
      this.ended = item.type === "run_ended";
    }
    this.on.item(item);
  }

  #sleep(ms) {
    if (this.stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
