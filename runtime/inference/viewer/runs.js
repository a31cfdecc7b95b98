// The list of runs: newest first, with what is running now kept up to date.
import * as api from "./api.js";
import { el, fill } from "./dom.js";
import { ago, duration, line, moment, spent } from "./format.js";

const EVERY_MS = 3000;
const PAGE = 30;
const STATUSES = ["running", "completed", "failed", "cancelled"];

export class Runs {
  /** `onProblem(error)` with what the service refuses, null when it answers again. */
  constructor(element, onProblem) {
    this._onProblem = onProblem;
    this._runs = new Map(); // by id
    this._rows = new Map(); // link by id
    this._status = null;
    this._more = false;
    this._current = null;
    this._timer = null;
    this._generation = 0; // a reply to an older question is dropped
    const select = el("select", { id: "status", onchange: () => this._filter(select.value || null) },
      el("option", { value: "" }, "all"), STATUSES.map((status) => el("option", { value: status }, status)));
    this._list = el("ul", { class: "list", onkeydown: (event) => this._key(event) });
    this._empty = el("div", { class: "empty", hidden: true });
    this._older = el("button", { type: "button", hidden: true, onclick: () => this._load(true) }, "Older runs");
    fill(element, el("div", { class: "filter" }, el("label", { for: "status" }, "Show"), select), this._list, this._empty,
      this._older);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.refresh(); });
  }

  start() {
    this.stop();
    this._timer = setInterval(() => { if (!document.hidden) this.refresh(); }, EVERY_MS);
    return this.refresh();
  }

  stop() {
    clearInterval(this._timer);
    this._generation += 1;
  }

  refresh() {
    return this._load(false);
  }

  /** Marks the run that is shown beside the list. */
  mark(id) {
    this._current = id;
    for (const [each, link] of this._rows) {
      if (each === id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  async _load(older) {
    const generation = this._generation;
    const last = older ? [...this._sorted()].at(-1)?.id : null;
    try {
      const page = await api.list({ after: last, status: this._status, limit: PAGE });
      if (generation !== this._generation) return;
      this._take(page, older);
      this._onProblem(null);
    } catch (error) {
      if (generation === this._generation) this._onProblem(error);
    }
  }

  _take(page, older) {
    const fresh = new Set(page.data.map((run) => run.id));
    const oldest = page.data.at(-1)?.created_at ?? -Infinity;
    if (!older) {
      // What the newest page should show and does not is gone, or has another status now.
      for (const run of this._sorted()) {
        if (!fresh.has(run.id) && (run.created_at >= oldest || !page.has_more)) this._runs.delete(run.id);
      }
    }
    for (const run of page.data) this._runs.set(run.id, run);
    if (older || this._runs.size <= PAGE) this._more = page.has_more;
    this._draw();
  }

  _sorted() {
    return [...this._runs.values()].sort((a, b) => b.created_at - a.created_at);
  }

  _draw() {
    const runs = this._sorted();
    for (const [id, link] of this._rows) {
      if (!this._runs.has(id)) { link.parentElement.remove(); this._rows.delete(id); }
    }
    runs.forEach((run, position) => {
      let link = this._rows.get(run.id);
      if (!link) {
        link = el("a", { href: `#/runs/${run.id}` });
        this._rows.set(run.id, link);
        this._list.append(el("li", {}, link));
      }
      const at = this._list.children[position];
      if (at !== link.parentElement) this._list.insertBefore(link.parentElement, at);
      fill(link, el("span", { class: "question" }, line(run.question) || "(no question)"),
        el("span", { class: "muted" }, badge(run.status), " ",
          el("time", { datetime: new Date(run.created_at * 1000).toISOString(), title: moment(run.created_at) }, ago(run.created_at)),
          ` · ${duration(run.duration_s)} · ${spent(run.usage)} · ${run.key_name}`));
    });
    this.mark(this._current);
    this._older.hidden = !this._more;
    this._empty.hidden = runs.length > 0;
    fill(this._empty, el("p", {}, this._status ? `No run is ${this._status}.` : "No runs yet."),
      this._status ? null : el("p", { class: "muted" }, "Ask something, and watch it here:"),
      this._status ? null : el("pre", {}, example()));
  }

  _filter(status) {
    this._status = status;
    this._generation += 1;
    this._runs.clear();
    this._more = false;
    this._draw();
    this.refresh();
  }

  _key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = [...this._list.querySelectorAll("a")];
    links[links.indexOf(document.activeElement) + step]?.focus();
    event.preventDefault();
  }
}

export function badge(status) {
  return el("span", { class: `badge ${status}` }, status);
}

function example() {
  const address = new URL("rlm/v1/runs", document.baseURI);
  return `curl ${address} \\\n  -H "Authorization: Bearer $KEY" \\\n  -H "Content-Type: application/json" \\\n`
    + `  -d '{"query": "How many lines?", "context": "a\\nb", "background": true}'`;
}
