// The console: chooses a crew, starts runs, shows the run that the address names.

import { api } from "./api.js";
import { showCrew } from "./crews.js";
import { byId, say, sendOnEnter } from "./dom.js";
import { RunPage } from "./run.js";
import { RunList } from "./runs.js";

const runs = new RunList(byId("runs"), byId("runs-empty"));
let page = null;
let crews = [];
let bannerTimer = 0;

const connection = {
  /** The server does not answer, or not with what was asked for; the next try is in `ms`. */
  lost(ms, why = "The server does not answer.") {
    clearInterval(bannerTimer);
    const until = Date.now() + ms;
    const tell = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      byId("banner-next").textContent = left > 0 ? `Next try in ${left} s.` : "Trying…";
    };
    // Said once to screen readers; the countdown is for eyes.
    if (byId("banner-text").textContent !== why) byId("banner-text").textContent = why;
    tell();
    bannerTimer = setInterval(tell, 500);
    byId("banner").hidden = false;
  },
  found() {
    clearInterval(bannerTimer);
    byId("banner-text").textContent = "";
    byId("banner").hidden = true;
  },
};

/** The definition of a crew, or null if it is not served (any more). */
async function definition(name) {
  return api.crew(name).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
}

const wanted = () => new URLSearchParams(location.hash.slice(1)).get("run");

/** Shows what the address names: a run, or the start. */
async function show() {
  page?.close();
  page = null;
  const id = wanted();
  runs.select(id);
  byId("side").classList.remove("open");
  byId("menu").setAttribute("aria-expanded", "false");
  byId("missing").hidden = true;
  byId("start").hidden = Boolean(id);
  byId("run").hidden = !id;
  byId("new").hidden = !id;
  window.scrollTo(0, 0);
  if (!id) {
    document.title = "Boathouse";
    byId("composer").hidden = crews.length === 0;
    byId("input").placeholder = "Describe what you need";
    byId("status").textContent = "";
    await showChosen();
    byId("input").focus({ preventScroll: true });
    return;
  }
  byId("composer").hidden = true;
  page = new RunPage(id, {
    definition,
    connection,
    changed: () => runs.refresh(),
    missing() {
      byId("run").hidden = true;
      byId("missing").hidden = false;
      document.title = "No such run · Boathouse";
    },
    ended(crew) {
      if (crews.some(({ name }) => name === crew)) byId("crew").value = crew;
      byId("input").placeholder = "Start another run";
      byId("composer").hidden = crews.length === 0;
    },
  });
  await page.open();
}

async function showChosen() {
  const name = byId("crew").value;
  if (!name) return;
  const crew = await definition(name).catch(() => null);
  if (crew && byId("crew").value === name) showCrew(byId("crew-view"), crew);
}

async function loadCrews() {
  crews = await api.crews();
  connection.found();
  const chosen = byId("crew").value || remembered();
  byId("crew").replaceChildren(...crews.map(({ name }) => new Option(name, name)));
  if (crews.some(({ name }) => name === chosen)) byId("crew").value = chosen;
  if (!crews.length) byId("crew-view").replaceChildren("This server serves no crew.");
}

function remembered() {
  try {
    return localStorage.getItem("boathouse.crew");
  } catch {
    return null;
  }
}

byId("crew").addEventListener("change", () => {
  try {
    localStorage.setItem("boathouse.crew", byId("crew").value);
  } catch {
    // Without storage the first crew is chosen the next time.
  }
  if (!wanted()) showChosen();
});

byId("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = byId("input").value.trim();
  const crew = byId("crew").value;
  if (!input || !crew || byId("send").disabled) return;
  byId("send").disabled = true;
  say(byId("composer-error"), "");
  try {
    const run = await api.start(crew, input);
    byId("input").value = "";
    location.hash = `run=${encodeURIComponent(run.id)}`;
    runs.refresh();
  } catch (error) {
    say(byId("composer-error"), error.message);
  } finally {
    byId("send").disabled = false;
  }
});
sendOnEnter(byId("input"));

byId("menu").addEventListener("click", () => {
  const open = byId("side").classList.toggle("open");
  byId("menu").setAttribute("aria-expanded", String(open));
});

let startWake = () => {};
byId("retry").addEventListener("click", () => {
  startWake();
  page?.nudge();
});
window.addEventListener("online", () => byId("retry").click());
window.addEventListener("hashchange", show);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) runs.refresh();
});

async function begin() {
  for (let retry = 1000; ; retry = Math.min(retry * 2, 15_000)) {
    try {
      await loadCrews();
      break;
    } catch {
      connection.lost(retry);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, retry);
        startWake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
  startWake = () => {};
  runs.start();
  await show();
}

begin();
