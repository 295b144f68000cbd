// Reads drawings as their real readers do: `node graphs.mjs FILE...` with *.mmd for Mermaid and *.svg for XML; *.dot was read by Graphviz.
// Says what is wrong with each; the exit code is 1 if anything is.

import { readFileSync } from "node:fs";
import { JSDOM } from "jsdom";

const { window } = new JSDOM("");
globalThis.window = window;
globalThis.document = window.document;
const { default: mermaid } = await import("mermaid");

async function fault(file, text) {
  if (file.endsWith(".dot")) return null;
  if (file.endsWith(".mmd")) {
    const { diagramType } = await mermaid.parse(text);
    return diagramType === "flowchart-v2" ? null : `a ${diagramType}`;
  }
  const svg = new window.DOMParser().parseFromString(text, "image/svg+xml");
  const wrong = svg.querySelector("parsererror, script, foreignObject, a, image, use, [onload], [href]");
  return wrong ? `<${wrong.tagName}>: ${wrong.textContent}` : null;
}

let failed = process.argv.length === 2;
for (const file of process.argv.slice(2)) {
  const told = await fault(file, readFileSync(file, "utf8")).catch((error) => error.message);
  if (told) console.error(`${file}: ${told}`);
  failed ||= told !== null;
}
process.exit(failed ? 1 : 0);
