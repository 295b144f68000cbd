// The HTTP API as the console uses it. Addresses are relative, so that a proxy may serve the console below a path.

/** What the server said no with, or that it cannot be reached (`status` 0). */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function request(method, path, body) {
  const init = { method, headers: { accept: "application/json" }, cache: "no-store" };
  if (method === "POST") {
    init.headers["content-type"] = "application/json";
    init.body = JSON.stringify(body ?? {});
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(0, "unreachable", "The server cannot be reached.");
  }
  if (!response.ok) throw await problem(response);
  return response.json();
}

/** Reads an `application/problem+json` answer. */
export async function problem(response) {
  const told = await response.json().catch(() => ({}));
  const text = [told.detail ?? `The server answered ${response.status}.`, told.hint].filter(Boolean).join("; ");
  return new ApiError(response.status, told.code ?? "unknown", text);
}

const run = (id) => `v1/runs/${encodeURIComponent(id)}`;
const crew = (name) => `v1/crews/${encodeURIComponent(name)}`;

export const api = {
  crews: async () => (await request("GET", "v1/crews")).crews,
  crew: (name) => request("GET", crew(name)),
  runs: async (limit) => (await request("GET", `v1/runs?limit=${limit}`)).runs,
  run: (id) => request("GET", run(id)),
  /** The first event of a run. */
  opening: async (id) => (await request("GET", `${run(id)}/events?limit=1`)).events[0],
  start: (name, input) => request("POST", `${crew(name)}/runs`, { input }),
  answer: (id, answer) => request("POST", `${run(id)}/answer`, answer),
  decide: (id, decision) => request("POST", `${run(id)}/approvals`, decision),
  /** `verb` is `cancel`, `pause` or `resume`. */
  tell: (id, verb) => request("POST", `${run(id)}/${verb}`),
  /** A new run from this one's last step with no call in flight. */
  retry: (id) => request("POST", `${run(id)}/retry`),
  events: (id, after) => `${run(id)}/events?after=${after}`,
};
