// The list of recent runs.

import { api } from "./api.js";
import { el, words } from "./dom.js";

const SHOWN = 30;
const EVERY_MS = 15_000;

export class RunList {
  #rows = new Map();
  #asked = false;
  #again = false;
  #selected = null;

  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
  }

  start() {
    this.refresh();
    setInterval(() => {
      if (!document.hidden) this.refresh();
    }, EVERY_MS);
  }

  select(id) {
    this.#selected = id;
    for (const [run, row] of this.#rows) this.#mark(run, row);
  }

  /** Reads the list again; what is asked for meanwhile is done once more afterwards. */
  async refresh() {
    if (this.#asked) {
      this.#again = true;
      return;
    }
    this.#asked = true;
    try {
      this.#show(await api.runs(SHOWN));
    } catch {
      // The page of the run, or the next try, tells that the server is gone.
    }
    this.#asked = false;
    if (this.#again) {
      this.#again = false;
      this.refresh();
    }
  }

  #show(runs) {
    const known = new Set(runs.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (known.has(id)) continue;
      row.item.remove();
      this.#rows.delete(id);
    }
    let place = this.list.firstElementChild;
    for (const run of runs) {
      const row = this.#rows.get(run.id) ?? this.#row(run);
      row.dot.dataset.state = run.state;
      row.state.textContent = `${words(run.state)} · ${run.crew} · ${ago(run.created_at)}`;
      if (row.item === place) place = place.nextElementSibling;
      else this.list.insertBefore(row.item, place);
    }
    this.empty.hidden = runs.length > 0;
  }

  #row({ id }) {
    const dot = el("span", { class: "dot", "aria-hidden": true });
    const title = el("span", { class: "run-input" }, id.slice(0, 8));
    const state = el("span", { class: "muted" });
    const link = el("a", { href: `#run=${encodeURIComponent(id)}` }, dot, title, state);
    const row = { item: el("li", {}, link), link, dot, state };
    this.#rows.set(id, row);
    this.#mark(id, row);
    api
      .opening(id)
      .then((event) => (title.textContent = event?.input?.slice(0, 200) || id.slice(0, 8)))
      .catch(() => {});
    return row;
  }

  #mark(id, { link }) {
    if (id === this.#selected) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function ago(time) {
  const minutes = Math.floor((Date.now() - Date.parse(time)) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(time).toLocaleDateString("en", { day: "numeric", month: "short" });
}
