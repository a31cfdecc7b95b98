// When what ran: a lane for each run of the tree, model turns and code above, sub-calls below.
import { el, fill, svg } from "./dom.js";
import { duration } from "./format.js";

const LANE = 26;
const WIDTH = 1000; // of the drawing; it is stretched to the page
const LANES_SHOWN = 40;
const CALLS_SHOWN = 2000;

export class Timeline {
  /** `onSelect(item)` when somebody clicks a bar. The same is in the tree, which keyboards reach. */
  constructor(onSelect) {
    this._onSelect = onSelect;
    this._scale = el("div", { class: "scale" });
    this._drawing = el("div", { class: "drawing" });
    this.element = el("figure", { class: "timeline", role: "img" }, this._drawing, this._scale, legend());
  }

  draw(trajectory) {
    const { start } = trajectory.root;
    const length = Math.max(0.001, trajectory.end - start);
    const x = (time) => ((time - start) / length) * WIDTH;
    const lanes = [...trajectory.items.values()].filter((item) => item.kind === "run" || item.kind === "child");
    const shown = lanes.slice(0, LANES_SHOWN);
    const rows = new Map(shown.map((lane, index) => [lane.node, index * LANE]));
    const bars = [];
    const bar = (item, kind, from, to, y, height) => bars.push(svg("rect", {
      class: `mark ${kind} ${item.state}`, x: x(from), y, height, width: Math.max(1.5, x(to) - x(from)), "data-item": item.id,
    }, svg("title", {}, `${kind}, ${duration(Math.max(0, to - from))}`)));
    let calls = 0;
    for (const item of trajectory.items.values()) {
      const y = rows.get(item.node);
      if (y === undefined) continue;
      if (item.modelEnd) bar(item, "model", item.modelEnd - item.modelSeconds, item.modelEnd, y + 3, 12);
      if (item.kind === "turn" && !item.modelEnd && item.state === "running") bar(item, "model", item.start, trajectory.end, y + 3, 12);
      if (item.kind === "cell") bar(item, "code", item.start, item.end ?? trajectory.end, y + 3, 12);
      if (item.kind !== "calls") continue;
      const each = calls + item.rows.length <= CALLS_SHOWN ? item.rows.filter(Boolean) : [];
      calls += each.length;
      for (const call of each) bar(item, "sub-call", call.at - call.duration_s, call.at, y + 17, 5);
      if (!each.length) bar(item, "sub-call", item.start, item.end ?? trajectory.end, y + 17, 5);
    }
    const height = Math.max(1, shown.length) * LANE;
    const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", height }, bars);
    drawing.addEventListener("click", (event) => {
      const item = trajectory.items.get(event.target.closest("[data-item]")?.dataset.item);
      if (item) this._onSelect(item);
    });
    fill(this._drawing, drawing);
    const hidden = lanes.length - shown.length;
    fill(this._scale, el("span", {}, "0"), el("span", {}, hidden ? `${hidden} more child runs are not drawn` : ""),
      el("span", {}, duration(length)));
    this.element.setAttribute("aria-label", `Time line over ${duration(length)}; the tree of calls says the same`);
  }
}

function legend() {
  const entry = (kind) => el("span", { class: "entry" }, el("span", { class: `swatch ${kind}` }), kind);
  return el("figcaption", { class: "legend" }, ["model", "code", "sub-call", "failed"].map(entry));
}
