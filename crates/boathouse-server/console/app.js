"use strict";

async function fill(id, url, key, text) {
  const answer = await fetch(url);
  const list = document.getElementById(id);
  for (const entry of (await answer.json())[key]) {
    const item = document.createElement("li");
    item.textContent = text(entry);
    list.append(item);
  }
}

fill("crews", "/v1/crews", "crews", (crew) => `${crew.name}: ${crew.description}`);
fill("runs", "/v1/runs", "runs", (run) => `${run.id} ${run.crew} ${run.state}`);
