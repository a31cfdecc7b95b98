// One run: what it costs, its time line, its tree of calls, and what is chosen in it. Live until it ends.
import * as api from "./api.js";
import { describe } from "./details.js";
import { el, fill } from "./dom.js";
import { context, duration, line, moment, plural, spent } from "./format.js";
import { badge } from "./runs.js";
import { Timeline } from "./timeline.js";
import { Trajectory } from "./trajectory.js";
import { Tree } from "./tree.js";

export class RunView {
  /** Shows a run in `element` until `close`. `onProblem(error)` with what the service refuses. */
  constructor(element, id, onProblem, onChange) {
    this._element = element;
    this._id = id;
    this._onProblem = onProblem;
    this._onChange = onChange;
    this._stop = new AbortController();
    this._changed = new Set();
    this._frame = null;
    this._follows = true;
  }

  async show() {
    fill(this._element, el("p", { class: "waiting" }, "The run is fetched."));
    try {
      this._detail = await api.detail(this._id);
      if (this._stop.signal.aborted) return;
      this._build();
      for await (const event of api.events(this._id, this._stop.signal, (is) => this._connection(is))) this._take(event);
      if (this._stop.signal.aborted) return;
      await this._reload();
    } catch (error) {
      if (this._stop.signal.aborted) return;
      if (!this._detail) fill(this._element, el("p", { class: "problem" }, error.status === 404 ? "There is no such run." : error.message));
      if (error.status !== 404) this._onProblem(error);
    }
  }

  close() {
    this._stop.abort();
    cancelAnimationFrame(this._frame);
    clearInterval(this._clock);
  }

  _build() {
    const choose = (item) => this._choose(item);
    this._trajectory = new Trajectory(this._detail.created_at);
    this._tree = new Tree(choose);
    this._timeline = new Timeline((item) => { this._tree.select(item); choose(item); });
    this._facts = el("div", { class: "head-facts", "aria-live": "off" });
    this._cancel = el("button", { type: "button", class: "danger", onclick: () => this._cancelRun() }, "Cancel");
    this._lost = el("span", { class: "problem", role: "status" });
    this._follow = el("input", { type: "checkbox", id: "follow", checked: true,
      onchange: () => { this._follows = this._follow.checked; if (this._follows) this._goTo(this._trajectory.latest); } });
    this._following = el("label", { for: "follow", class: "follow" }, this._follow, "Follow");
    this._panel = el("section", { class: "details", "aria-label": "Details", tabindex: "-1" });
    document.title = `${line(this._detail.question, 60) || "Run"} · Runs`;
    fill(this._element,
      el("a", { class: "back", href: "#/" }, "← All runs"),
      el("header", { class: "head" },
        el("h1", {}, line(this._detail.question, 240) || "(no question)"),
        this._facts, el("div", { class: "row" }, this._following, this._cancel, this._lost)),
      this._timeline.element,
      el("div", { class: "split" }, el("div", { class: "outline" }, this._tree.element), this._panel));
    this._tree.update([this._trajectory.root]);
    this._goTo(this._trajectory.root);
    this._clock = setInterval(() => { if (!this._trajectory.finished) this._plan(); }, 500);
    this._plan();
  }

  _take(event) {
    for (const item of this._trajectory.apply(event)) this._changed.add(item);
    this._plan();
  }

  /** Draws once for all that came since the last frame. */
  _plan() {
    this._frame ??= requestAnimationFrame(() => { this._frame = null; this._draw(); });
  }

  _draw() {
    const { root, latest, finished } = this._trajectory;
    const changed = this._changed;
    this._changed = new Set();
    if (!finished) this._trajectory.end = Math.max(this._trajectory.end, Date.now() / 1000 - this._skew());
    this._tree.update(changed);
    this._timeline.draw(this._trajectory);
    this._head();
    if (this._follows && changed.size && this._tree.selected !== latest) this._goTo(latest);
    else if (changed.has(this._tree.selected) || (finished && changed.has(root))) this._describe();
  }

  /** Seconds by which this clock is ahead of the service's; a live run's end is drawn by the service's. */
  _skew() {
    this._ahead ??= Date.now() / 1000 - (this._detail.created_at + this._detail.duration_s);
    return this._ahead;
  }

  _head() {
    const { root, finished } = this._trajectory;
    const detail = this._detail;
    const status = finished ? detail.status === "running" ? { ok: "completed", failed: "failed" }[root.state] : detail.status : "running";
    const seconds = finished ? root.end - root.start : this._trajectory.end - detail.created_at;
    fill(this._facts, badge(status), [
      duration(Math.max(0, seconds)), plural(root.turns, "turn"), plural(root.calls, "sub-call"), spent(root.usage),
      context(detail.context), `model ${detail.model}`, `key ${detail.key_name}`, `begun ${moment(detail.created_at)}`,
    ].map((fact) => el("span", { class: "fact" }, fact)));
    this._cancel.hidden = finished;
    this._following.hidden = finished;
  }

  _goTo(item) {
    this._tree.select(item);
    this._describe();
  }

  _choose(item) {
    this._follows = this._follow.checked = false;
    this._describe(item);
  }

  _describe(item = this._tree.selected) {
    const top = this._shown === item ? this._panel.scrollTop : 0;
    this._shown = item;
    fill(this._panel, describe(item, this._trajectory, this._detail));
    this._panel.scrollTop = top;
  }

  _connection(is) {
    this._lost.textContent = is ? "" : "The connection is lost; trying again.";
  }

  async _reload() {
    this._detail = await api.detail(this._id);
    if (this._stop.signal.aborted) return;
    clearInterval(this._clock);
    this._changed.add(this._trajectory.root);
    this._plan();
    this._onChange();
  }

  async _cancelRun() {
    this._cancel.disabled = true;
    try {
      this._detail = await api.cancel(this._id);
    } catch (error) {
      this._cancel.disabled = false;
      this._onProblem(error);
    }
  }
}
