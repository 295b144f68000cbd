// Reads runs as real clients do, over connections that break at random bytes, while the server is killed and stopped and
// comes back: `node streams.mjs BOATHOUSE PYTHON CHROMIUM [SEED]`.
// The npm package eventsource, Python's httpx-sse and a browser's EventSource must each see every event once and in order, and put
// the text of every reply together; a reconnect to the Go endpoint must start no second run. The exit code is 1 if anything is wrong.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { EventSource } from "eventsource";

const [boathouse, python, chromium, seedText] = process.argv.slice(2);
const seed = Number(seedText ?? Date.now() % 1_000_000);
const RUNS = 4; // of each client
const WORDS = 40;
const PATIENCE = 240_000;
console.log(`seed ${seed}`);

// mulberry32, by Tommy Ettinger (public domain).
let state = seed;
function below(end) {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % end;
}

const dir = mkdtempSync(join(tmpdir(), "boathouse-streams-"));
const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  try {
    rmSync(dir, { recursive: true, force: true, maxRetries: 40, retryDelay: 50 });
  } catch {
    // The browser's last processes may still write into its profile.
  }
});
setTimeout(() => fail("it takes too long"), PATIENCE).unref();

function fail(why) {
  console.error(why instanceof Error ? why.stack : why);
  process.exit(1);
}

function start(program, args, options) {
  const child = spawn(program, args, options);
  children.add(child);
  child.on("exit", () => children.delete(child));
  child.on("error", fail);
  return child;
}

// A crew that talks for some seconds, with tools in between, and words that take two, three and four bytes.
function crew(name) {
  const folder = join(dir, name);
  mkdirSync(folder);
  const agent = (id, more) => `  - { id: ${id}, model: any, system_prompt: "${id} [NEXT]"${more} }\n`;
  writeFileSync(
    join(folder, "crew.yaml"),
    `name: ${name}\nagents:\n${agent("first", ", tools: [Look]")}${agent("second", ", tools: [Look], is_terminal: true")}` +
      `tools:\n  Look: { description: Looks., effect: read, command: { argv: [echo, seen] } }\n` +
      `routing: { signals: { first: [{ signal: "[NEXT]", target: second }] } }\n`,
  );
  const words = (count) => Array.from({ length: count }, (_, at) => ["cửa", "日本", "🚣", "plain"][at % 4] + at).join(" ");
  const rule = (rest) => `  - { piece_delay_ms: 30, ${rest} }\n`;
  writeFileSync(
    join(folder, "scripted.yaml"),
    "rules:\n" +
      rule(`agent: first, call: 1, reply: "${words(WORDS)}", tools: [{ name: Look }]`) +
      rule(`agent: first, call: 2, reply: "${words(WORDS)}", tools: [{ name: Look }]`) +
      rule(`agent: first, call: 3, reply: "${words(WORDS)}", tools: [{ name: Look }]`) +
      rule(`agent: first, reply: "${words(WORDS)} [NEXT]"`) +
      rule(`agent: second, call: 1, reply: "${words(WORDS)}", tools: [{ name: Look }]`) +
      rule(`agent: second, reply: "${words(WORDS)}"`),
  );
  return folder;
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

const port = await freePort();
const crews = ["talk", "gotalk"].map(crew);
let server;
async function serve() {
  const args = ["serve", ...crews, "--model", "scripted", "--port", `${port}`, "--journal", join(dir, "runs.db")];
  server = start(boathouse, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, BOATHOUSE_LOG: "error" } });
  for await (const line of createInterface({ input: server.stdout })) if (line.includes("http://")) return;
  fail("the server does not start");
}
async function end(signal) {
  const gone = new Promise((done) => server.once("exit", done));
  server.kill(signal);
  await gone;
}

// A proxy that cuts each stream after a random number of bytes; not in its head, which Chromium would take for a whole one, and of
// the Go endpoint only after an event with an id, as a client that has seen none cannot say what it continues.
let cuts = 0;
let going = 0; // streams of the Go endpoint that have had an event with an id
const refused = []; // answers that end an EventSource for good
const loads = []; // what the browser tells of its requests: an EventSource that closes for good is explained by the last of them
const proxy = net.createServer((client) => {
  const upstream = net.connect(port, "127.0.0.1");
  let kind = "plain";
  let left = Infinity;
  let head = "";
  const close = () => (client.destroy(), upstream.destroy());
  for (const socket of [client, upstream]) socket.on("error", close).on("close", close).setNoDelay(true);
  client.on("data", (bytes) => {
    const asked = bytes.toString("latin1");
    if (/^GET \/v1\/runs\/[^ ]*\/events/m.test(asked)) [kind, left, head] = ["events", Infinity, ""];
    if (asked.includes("/api/crew/stream")) kind = "go";
    upstream.write(bytes);
  });
  upstream.on("data", (bytes) => {
    if (left === Infinity && kind !== "plain") {
      head += bytes.toString("latin1");
      if (!/^HTTP\/1.1 20[04]/.test(head)) refused.push(head.slice(0, 400));
      if (kind === "events" && head.includes("\r\n\r\n")) left = bytes.length + below(8000);
      if (kind === "go" && /id: [^\n]+\ndata: [^\n]+\n\n/.test(head)) {
        left = bytes.length + below(1500);
        going += 1;
      }
    }
    client.write(bytes.subarray(0, Math.min(left, bytes.length)));
    left -= bytes.length;
    if (left > 0) return;
    cuts += 1;
    client.end();
    setImmediate(close);
  });
});
await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
const through = `http://127.0.0.1:${proxy.address().port}`;
const direct = `http://127.0.0.1:${port}`;

async function ask(path, body) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  const response = await fetch(direct + path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.json();
}

// The records of a client: {open: true} for each connection, {data} for each message.
function eventsource(url) {
  return new Promise((done) => {
    const records = [];
    const source = new EventSource(url);
    source.onopen = () => records.push({ open: true });
    source.onmessage = ({ data }) => records.push({ data });
    source.onerror = () => source.readyState === EventSource.CLOSED && done(records);
  });
}

async function httpxSse(url) {
  const records = [];
  const child = start(python, [join(import.meta.dirname, "streams.py"), url], { stdio: ["ignore", "pipe", "inherit"] });
  const code = new Promise((done) => child.once("exit", done));
  for await (const line of createInterface({ input: child.stdout })) records.push(JSON.parse(line));
  assert.equal(await code, 0, "streams.py ends well");
  return records;
}

// A browser without a screen, driven over a pair of pipes. Source: https://chromedevtools.github.io/devtools-protocol/
async function browser() {
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions"];
  const more = ["--disable-background-networking", "--remote-debugging-pipe", `--user-data-dir=${join(dir, "profile")}`];
  const child = start(chromium, [...flags, ...more, "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const [input, output] = child.stdio.slice(3);
  const waiting = new Map();
  let rest = "";
  output.setEncoding("utf8").on("data", (text) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop();
    for (const message of messages.map((text) => JSON.parse(text))) {
      waiting.get(message.id)?.(message);
      const { method, params } = message;
      if (method === "Network.responseReceived") loads.push([params.requestId, params.response.url, params.response.status, params.response.mimeType]);
      if (method === "Network.loadingFailed") loads.push([params.requestId, params.errorText, params.canceled, params.blockedReason]);
    }
  });
  let id = 0;
  const call = (method, params, sessionId) =>
    new Promise((done, wrong) => {
      id += 1;
      waiting.set(id, (answer) => (answer.error ? wrong(new Error(`${method}: ${answer.error.message}`)) : done(answer.result)));
      input.write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    });
  const { targetId } = await call("Target.createTarget", { url: `${through}/healthz` });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  await call("Network.enable", {}, sessionId);
  const run = async (expression) => {
    const told = await call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true }, sessionId);
    assert.ok(!told.exceptionDetails, JSON.stringify(told.exceptionDetails));
    return told.result.value;
  };
  while (!(await run("document.readyState === 'complete' && location.pathname === '/healthz'"))) await pause(20);
  return (url) => run(`(${eventsource})(${JSON.stringify(url)})`);
}

// Every event once and in order, as the journal has it; every reply's text as far as it was shown, and whole if it was read from its start.
let whole = 0;
function check(name, records, kept) {
  let seq = 0;
  const shown = new Map();
  const known = new Set(); // replies whose beginning, or text so far, this connection has given
  for (const record of records) {
    if (record.open) known.clear();
    if (!record.data) continue;
    const told = JSON.parse(record.data);
    const reply = `${told.call}/${told.attempt}`;
    if (told.type === "delta") {
      const text = shown.get(reply) ?? "";
      assert.equal(told.offset, Buffer.byteLength(text), `${name}: a delta of ${reply} fits to what was shown`);
      shown.set(reply, text + told.text);
      if (text === "") known.add(reply);
    } else if (told.type === "reply_snapshot") {
      shown.set(reply, told.text);
      known.add(reply);
    } else {
      seq += 1;
      assert.equal(told.seq, seq, `${name}: each event comes once and in order`);
      assert.deepEqual(told, kept[seq - 1], `${name}: event ${seq} is the one that is kept`);
      if (told.type === "model_replied") {
        const text = shown.get(reply) ?? "";
        assert.ok(told.reply.text.startsWith(text), `${name}: what was shown of ${reply} is its beginning`);
        if (!known.has(reply)) continue; // it ended while the client was away
        assert.equal(text, told.reply.text, `${name}: the text of ${reply} is whole`);
        whole += 1;
      }
    }
  }
  assert.equal(seq, kept.length, `${name}: no event is missing; refused: ${refused}; of the browser: ${JSON.stringify(loads)}`);
}

await serve();
const clients = { eventsource, "httpx-sse": httpxSse, "the browser": await browser() };
const reading = [];
for (const [name, read] of Object.entries(clients)) {
  for (let number = 0; number < RUNS; number += 1) {
    const { id } = await ask("/v1/crews/talk/runs", { input: `${name} ${number}` });
    reading.push(read(`${through}/v1/runs/${id}/events`).then((records) => ({ name, id, records })));
  }
}
const goStreams = Array.from({ length: RUNS }, (_, number) => eventsource(`${through}/api/crew/stream?crew=gotalk&q=go+${number}`));
await pause(1500);
// As above: without an id they cannot go on, and would rightly start anew.
while (going < RUNS) await pause(20);
await end("SIGKILL");
await serve();
await pause(2500);
await end("SIGTERM");
await serve();

let reconnects = 0;
for (const { name, id, records } of await Promise.all(reading).catch(fail)) {
  const { events } = await ask(`/v1/runs/${id}/events?limit=10000`);
  assert.equal(events.at(-1).type, "run_ended");
  check(`${name}, run ${id}`, records, events);
  reconnects += records.filter((record) => record.open).length - 1;
  const past = await fetch(`${direct}/v1/runs/${id}/events`, { headers: { "last-event-id": `${events.length}` } });
  assert.equal(past.status, 204);
}
for (const records of await Promise.all(goStreams)) {
  const told = records.filter((record) => record.data).map((record) => JSON.parse(record.data));
  const runs = new Set(told.filter((event) => event.type !== "ping").map((event) => event.metadata.run));
  assert.equal(runs.size, 1, "a Go client is told of one run");
  const ends = told.filter((event) => ["done", "error"].includes(event.type)).length;
  assert.equal(ends, 1, `a Go client is told one end: ${told.map((event) => event.type)}`);
  assert.equal(told.filter((event) => event.type === "start").length, 1);
}
const { runs } = await ask("/v1/runs?crew=gotalk&limit=200");
assert.equal(runs.length, RUNS, "a reconnect to the Go endpoint starts no run");
assert.ok(Math.min(cuts, reconnects, whole) >= RUNS, `too little to prove anything: ${cuts}, ${reconnects}, ${whole}`);
console.log(`${cuts} cuts, ${reconnects} reconnects, two restarts: every event once and in order, ${whole} texts put together`);
process.exit(0);
