// The one door to the service: its list of runs, one run, its events, its end. The key stays in this tab's storage.

const KEY = "rlm-api-key";
const RETRY_MS = [500, 1000, 2000, 5000, 10000];

/** What the service or the connection to it refused. `status` is 0 where there was no reply. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** `{data, has_more}`; newest first. `after`: the id of the run after which to go on. */
export function list({ after = null, status = null, limit = 30 } = {}) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (after) query.set("after", after);
  if (status) query.set("status", status);
  return json("GET", `?${query}`);
}

export const detail = (id) => json("GET", `/${encodeURIComponent(id)}`);
export const cancel = (id) => json("POST", `/${encodeURIComponent(id)}/cancel`);

/** Every event of a run, from the first on and as they come, to its end. A lost connection is taken up again where it
 * broke off; `onConnection(false)` says that it is lost. Throws ApiError where the service refuses. */
export async function* events(id, signal, onConnection = () => {}) {
  let last = -1;
  let ended = false;
  for (let failures = 0; !ended && !signal.aborted; ) {
    try {
      const response = await send("GET", `/${encodeURIComponent(id)}/events?after=${last}`, signal);
      onConnection(true);
      failures = 0;
      for await (const event of read(response.body)) {
        last = event.seq;
        yield event;
        ended = event.type === "run.completed" || event.type === "run.failed";
      }
      if (!ended) await rest(RETRY_MS[0], signal); // an orderly end before the last event: the service restarts
    } catch (error) {
      if (signal.aborted) return;
      if (error.status >= 400 && error.status < 500) throw error;
      onConnection(false);
      await rest(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)], signal);
      failures += 1;
    }
  }
}

async function json(method, path) {
  const response = await send(method, path);
  return response.json();
}

async function send(method, path, signal = undefined) {
  const headers = key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
  let response;
  try {
    response = await fetch(new URL(`rlm/v1/runs${path}`, document.baseURI), {
      method, headers, signal, credentials: "omit", cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the service does not answer");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new ApiError(response.status, body?.error?.message ?? `the service answers with status ${response.status}`);
}

/** The events in a stream of server-sent events. Their data is one line of JSON; comments are heartbeats. */
async function* read(body) {
  let rest = "";
  for await (const piece of pieces(body)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const each of lines) if (each.startsWith("data: ")) yield JSON.parse(each.slice(6));
  }
}

async function* pieces(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {}); // lets go of the connection when the reader stops early
  }
}

function rest(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
