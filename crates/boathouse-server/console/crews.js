// A crew in brief: its agents, what they can call, where they lead.

import { count, el } from "./dom.js";

/** Shows a crew's definition. */
export function showCrew(box, crew) {
  const names = new Map(crew.agents.map((agent) => [agent.id, agent.name || agent.id]));
  const parts = [];
  if (crew.description) parts.push(el("p", { class: "lead" }, crew.description));
  const cards = crew.agents.map((agent, place) => agentCard(agent, place % 6, crew, names));
  parts.push(el("ul", { class: "crew" }, ...cards));
  for (const group of crew.groups) {
    const agents = group.agents.map((id) => names.get(id) ?? id).join(", ");
    const next = group.next_agent ? `, then ${names.get(group.next_agent) ?? group.next_agent}` : "";
    parts.push(el("p", { class: "muted group" }, el("strong", {}, group.name), `: ${agents} side by side${next}`));
  }
  parts.push(picture(crew));
  box.replaceChildren(...parts);
}

/** The routing as a picture, which is made once somebody opens it. The hash makes it the one of this version. */
function picture(crew) {
  const src = `/v1/crews/${encodeURIComponent(crew.name)}/graph.svg?${crew.hash}`;
  const details = el("details", { class: "graph" }, el("summary", {}, "How runs go"));
  const show = () => details.append(el("img", { src, alt: `Who hands over to whom in ${crew.name}` }));
  details.addEventListener("toggle", show, { once: true });
  return details;
}

function agentCard(agent, voice, crew, names) {
  const routes = agent.signals.map(({ signal, to, description }) =>
    el("li", { title: description }, el("code", { class: "signal" }, signal), ` → ${target(to, names)}`),
  );
  const facts = [];
  if (agent.id === crew.entry) facts.push("begins");
  if (agent.wait_for_signal) facts.push("may ask you");
  if (agent.terminal) facts.push("ends the run");
  if (agent.tools.length) facts.push(count(agent.tools.length, "tool"));
  return el(
    "li",
    { class: "agent", "data-agent": agent.id, "data-voice": voice },
    el(
      "p",
      { class: "agent-name" },
      el("span", { class: "face", "aria-hidden": true }, Array.from(agent.name || agent.id)[0]?.toUpperCase() ?? "?"),
      el("strong", {}, agent.name || agent.id),
    ),
    agent.role || agent.description ? el("p", {}, agent.role || agent.description) : null,
    facts.length ? el("p", { class: "muted", title: agent.tools.join(", ") }, facts.join(" · ")) : null,
    routes.length ? el("ul", { class: "routes" }, ...routes) : null,
  );
}

function target(to, names) {
  return to === null || to === undefined ? "end" : (names.get(to) ?? to);
}
