// The tree of calls as a tree that keyboards and screen readers know: one tab stop, arrows, Home and End.
import { el, fill } from "./dom.js";
import { duration, line, plural, spent } from "./format.js";

const STATES = { running: "●", ok: "✓", failed: "✕" };
const NOTES = {
  "history.compacted": "History summarised", "session.recovered": "Session rebuilt", "run.diverged": "Diverged after a loss",
};
const SPOKEN = { running: "running", ok: "done", failed: "failed" };

export class Tree {
  /** `onSelect(item)` when somebody chooses one. */
  constructor(onSelect) {
    this.element = el("ul", { role: "tree", class: "tree", "aria-label": "Calls of this run", onkeydown: (e) => this._key(e) });
    this._onSelect = onSelect;
    this._rows = new Map(); // by item id: { item, node, label, group }
    this.selected = null;
  }

  /** Draws items that are new or have changed; a parent comes before its children. */
  update(items) {
    for (const item of [...items].sort((a, b) => depth(a) - depth(b))) {
      const row = this._rows.get(item.id) ?? this._add(item);
      fill(row.label, el("span", { class: `state ${item.state}`, title: SPOKEN[item.state], role: "img",
        "aria-label": SPOKEN[item.state] }, STATES[item.state]), el("span", { class: "name" }, title(item)),
        el("span", { class: "aside" }, aside(item)));
    }
  }

  /** Selects an item, opens what is above it and brings it into view. */
  select(item, focus = false) {
    const row = this._rows.get(item.id);
    if (!row) return;
    for (let above = item.parent; above; above = above.parent) this._open(above, true);
    if (this.selected) {
      const before = this._rows.get(this.selected.id).node;
      before.setAttribute("aria-selected", "false");
      before.tabIndex = -1;
    }
    this.selected = item;
    row.node.setAttribute("aria-selected", "true");
    row.node.tabIndex = 0;
    if (focus) row.node.focus({ preventScroll: true });
    row.label.scrollIntoView({ block: "nearest" });
  }

  _add(item) {
    const label = el("div", { class: "label", onclick: () => this._choose(item) });
    const node = el("li", { role: "treeitem", "aria-level": depth(item) + 1, "aria-selected": "false", tabindex: "-1" }, label);
    const row = { item, node, label, group: null };
    this._rows.set(item.id, row);
    const parent = item.parent && this._rows.get(item.parent.id);
    if (!parent) this.element.append(node);
    else {
      if (!parent.group) {
        parent.group = el("ul", { role: "group" });
        const toggle = el("button", { type: "button", class: "toggle", tabindex: "-1", "aria-hidden": "true",
          onclick: () => this._open(parent.item, parent.node.getAttribute("aria-expanded") !== "true") });
        parent.node.prepend(toggle);
        parent.node.append(parent.group);
        this._open(parent.item, true);
      }
      parent.group.append(node);
    }
    return row;
  }

  _open(item, open) {
    const { node, group } = this._rows.get(item.id);
    if (!group) return;
    node.setAttribute("aria-expanded", String(open));
    group.hidden = !open;
  }

  _choose(item) {
    this.select(item, true);
    this._onSelect(item);
  }

  _visible() {
    return [...this.element.querySelectorAll('[role="treeitem"]')].filter((node) => !node.parentElement.closest("[hidden]"));
  }

  _key(event) {
    const current = this._rows.get(this.selected?.id);
    if (!current || event.ctrlKey || event.altKey || event.metaKey) return;
    const nodes = this._visible();
    const position = nodes.indexOf(current.node);
    const expanded = current.node.getAttribute("aria-expanded");
    const to = (node) => node && this._choose([...this._rows.values()].find((row) => row.node === node).item);
    const moves = {
      ArrowDown: () => to(nodes[position + 1]),
      ArrowUp: () => to(nodes[position - 1]),
      Home: () => to(nodes[0]),
      End: () => to(nodes.at(-1)),
      ArrowRight: () => (expanded === "false" ? this._open(current.item, true) : expanded && to(nodes[position + 1])),
      ArrowLeft: () => (expanded === "true" ? this._open(current.item, false)
        : current.item.parent && this._choose(current.item.parent)),
      Enter: () => this._choose(current.item),
      " ": () => this._choose(current.item),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }
}

/** What an item is called. */
export function title(item) {
  switch (item.kind) {
    case "run": return "Run";
    case "turn": return `Turn ${item.iteration}`;
    case "cell": return line(item.code, 60) || "(empty cell)";
    case "calls": return plural(item.asked, "sub-call");
    case "child": return `Child run ${item.node}: ${line(item.prompt, 40)}`;
    case "tool": return `Tool ${item.tool}`;
    case "answer": return item.error ? "No answer" : "Answer";
    default: return NOTES[item.event.type] ?? item.event.type;
  }
}

function aside(item) {
  if (item.kind === "calls" && item.state === "running") return `${item.answered} of ${item.asked}`;
  if (item.state === "running") return "";
  if (item.kind === "turn") return item.usage ? spent(item.usage) : "";
  if (item.kind === "answer" || item.kind === "note") return "";
  return duration(Math.max(0, item.end - item.start));
}

function depth(item) {
  let levels = 0;
  for (let above = item.parent; above; above = above.parent) levels += 1;
  return levels;
}
