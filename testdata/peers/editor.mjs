// Opens crews as an editor does, with the YAML language server: `node editor.mjs ROOT MADE`.
// ROOT is the repository, MADE a folder of crews that `boathouse new` made, each named after its template. Crews that load
// must be without a mark; those with a wrong shape must be marked in the lines that `boathouse check` names; keys must be
// completed and explained. Says what is not so; the exit code is 1 if anything is.

import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [root, made] = process.argv.slice(2).map((path) => resolve(path));
const faults = [];

// The protocol: JSON with a length before it, over the standard streams.
const server = spawn(process.execPath, ["node_modules/yaml-language-server/bin/yaml-language-server", "--stdio"], {
  stdio: ["pipe", "pipe", "inherit"],
});
const answers = new Map();
const marks = new Map();
let buffer = Buffer.alloc(0);
let calls = 0;

function send(message) {
  const body = JSON.stringify({ jsonrpc: "2.0", ...message });
  server.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function ask(method, params) {
  const id = ++calls;
  send({ id, method, params });
  return new Promise((answer, fail) => answers.set(id, { answer, fail }));
}

const settings = {
  yaml: {
    schemaStore: { enable: false },
    schemas: {
      [pathToFileURL(join(root, "schema/crew.json"))]: "crew.yaml",
      [pathToFileURL(join(root, "schema/scripted.json"))]: "scripted.yaml",
      [pathToFileURL(join(root, "schema/agent.json"))]: "agents/*.yaml",
      [pathToFileURL(join(root, "schema/tests.json"))]: "tests/*.yaml",
    },
  },
};

function receive(message) {
  if (message.method === "textDocument/publishDiagnostics") {
    marks.get(message.params.uri)?.(message.params.diagnostics);
  } else if (message.method === "workspace/configuration") {
    const result = message.params.items.map(({ section }) => settings[section] ?? null);
    send({ id: message.id, result });
  } else if (message.method && message.id !== undefined) {
    send({ id: message.id, result: null });
  } else if (message.id !== undefined) {
    const { answer, fail } = answers.get(message.id);
    message.error ? fail(new Error(message.error.message)) : answer(message.result);
  }
}

server.stdout.on("data", (chunk) => {
  buffer = Buffer.concat([buffer, chunk]);
  for (;;) {
    const end = buffer.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, end).toString())[1]);
    if (buffer.length < end + 4 + length) return;
    const body = buffer.subarray(end + 4, end + 4 + length).toString();
    buffer = buffer.subarray(end + 4 + length);
    receive(JSON.parse(body));
  }
});

// Opens a file, and gives what the server marks in it.
async function open(file, text = readFileSync(file, "utf8")) {
  const uri = pathToFileURL(file).href;
  const told = new Promise((tell) => marks.set(uri, tell));
  send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "yaml", version: 1, text } } });
  const found = await told;
  // That a key does nothing is a warning of ours, too.
  return found.filter((mark) => !mark.message.startsWith("Does nothing"));
}

function files(crew) {
  const inside = (folder) =>
    existsSync(join(crew, folder)) && !basename(crew).startsWith("disk-")
      ? readdirSync(join(crew, folder)).filter((name) => name.endsWith(".yaml")).map((name) => `${folder}/${name}`)
      : [];
  const own = ["crew.yaml", "scripted.yaml"].filter((name) => existsSync(join(crew, name)));
  return [...own, ...inside("agents"), ...inside("tests")].map((name) => join(crew, name));
}

function crews(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, "crew.yaml")))
    .map((entry) => join(folder, entry.name));
}

function fault(file, text) {
  faults.push(`${file}: ${text}`);
}

// The lines of a file, from 1, in which `boathouse check` found a key or a value of a wrong shape.
const SHAPE = /^error\[(unknown_key|wrong_type|out_of_range|unknown_choice)\]: (.*)\n *--> (\S+):(\d+):\d+/gm;

async function main() {
  await ask("initialize", {
    processId: process.pid,
    rootUri: pathToFileURL(root).href,
    capabilities: {
      workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true } },
      textDocument: { hover: { contentFormat: ["markdown"] } },
    },
  });
  send({ method: "initialized", params: {} });
  send({ method: "workspace/didChangeConfiguration", params: { settings } });

  let sound = 0;
  for (const crew of [...crews(join(root, "testdata/crews/good")), ...crews(join(root, "examples")), ...crews(made)]) {
    for (const file of files(crew)) {
      for (const mark of await open(file)) fault(file, `${mark.range.start.line + 1}: ${mark.message}`);
      sound += 1;
    }
  }

  let wrong = 0;
  for (const crew of crews(join(root, "testdata/crews/bad"))) {
    const told = readFileSync(join(crew, "expected.txt"), "utf8");
    if (basename(crew).startsWith("disk-") || /error\[yaml_/.test(told)) continue;
    const lines = new Map();
    for (const [, , message, file, line] of told.matchAll(SHAPE)) {
      // That two keys contradict each other, no schema can say.
      if (message.includes("exceeds the longest")) continue;
      lines.set(file, [...(lines.get(file) ?? []), { line: Number(line), message }]);
    }
    for (const [name, problems] of lines) {
      const file = join(crew, name);
      const marked = await open(file);
      const at = (line) => marked.some((mark) => mark.range.start.line + 1 <= line && line <= mark.range.end.line + 1);
      for (const { line, message } of problems.filter(({ line }) => !at(line))) {
        fault(file, `${line}: not marked: ${message}; marked are ${JSON.stringify(marked.map((mark) => [mark.range.start.line + 1, mark.message]))}`);
      }
      wrong += problems.length;
    }
  }

  // What is offered and explained while somebody types, in a crew that points to its schema itself.
  const file = join(made, "support/crew.yaml");
  const uri = pathToFileURL(file).href;
  const text = readFileSync(file, "utf8");
  const place = (what, add = 0) => {
    const line = text.split("\n").findIndex((line) => line.includes(what));
    return { line, character: text.split("\n")[line].indexOf(what) + add };
  };
  const hover = await ask("textDocument/hover", { textDocument: { uri }, position: place("max_handoffs", 3) });
  if (!JSON.stringify(hover).includes("Routes that a run may take")) fault(file, `hover says ${JSON.stringify(hover)}`);

  const typing = join(made, "support/typing/crew.yaml");
  const typed = `# yaml-language-server: $schema=../.schema/crew.json\nagents: [a]\nsettings:\n  \n`;
  const at = { textDocument: { uri: pathToFileURL(typing).href }, position: { line: 3, character: 2 } };
  await open(typing, typed);
  const offered = await ask("textDocument/completion", at);
  const names = (offered.items ?? offered).map((item) => item.label);
  if (!names.includes("max_rounds")) fault(typing, `max_rounds is not among ${names.join(", ")}`);
  if (names.includes("max_memory_mb")) fault(typing, "max_memory_mb is offered, and does nothing");

  console.log(`the YAML language server read ${sound} sound files and found ${wrong} problems of shape`);
  if (sound < 60 || wrong < 20) fault("all", "that is too few");
  await ask("shutdown", null);
  send({ method: "exit" });
}

await main().catch((error) => fault("the language server", error.stack));
faults.forEach((told) => console.error(told));
server.kill();
process.exit(faults.length ? 1 : 0);
