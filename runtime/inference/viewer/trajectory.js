// A run's events folded into a tree: run → turns → code → sub-calls → child runs. Values only, no page.

/** One thing in the tree. `kind`: run, turn, cell, calls, child, tool, note or answer; times are unix seconds. */
class Item {
  constructor(kind, id, parent, start, fields = {}) {
    Object.assign(this, { kind, id, parent, start, end: null, state: "running", children: [], ...fields });
    parent?.children.push(this);
  }

  close(end, state = "ok") {
    this.end = end;
    this.state = state;
  }
}

const nothing = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0, cost: null };

export function add(usage, more) {
  const known = [usage.cost, more.cost].filter((cost) => cost !== null && cost !== undefined);
  return {
    prompt_tokens: usage.prompt_tokens + more.prompt_tokens,
    completion_tokens: usage.completion_tokens + more.completion_tokens,
    total_tokens: usage.total_tokens + more.total_tokens,
    cost: known.length ? known.reduce((sum, cost) => sum + cost, 0) : null,
  };
}

export class Trajectory {
  constructor(startedAt) {
    this.root = new Item("run", "run", null, startedAt, { node: 0, usage: nothing, turns: 0, calls: 0 });
    this.items = new Map([[this.root.id, this.root]]);
    this.latest = this.root; // what happens now
    this.end = startedAt; // the newest time that is known
    this._runs = new Map([[0, { run: this.root, turn: null, cell: null, tool: null }]]); // by node
  }

  get finished() {
    return this.root.state !== "running";
  }

  /** Takes in the next event; returns the items that it changed. */
  apply(event) {
    this.end = Math.max(this.end, event.at);
    const at = this._runs.get(event.node ?? 0) ?? this._runs.get(0);
    const changed = (this._handlers[event.type] ?? this._note).call(this, event, at);
    return new Set(changed.flatMap((item) => [item, ...ancestors(item)]));
  }

  _handlers = {
    "run.started": (event) => {
      this.root.start = event.at;
      return [this.root];
    },
    "iteration.started": (event, at) => {
      at.turn = this._add("turn", `turn-${event.node}-${event.iteration}`, at.run, event, { iteration: event.iteration });
      at.cell = null;
      at.run.turns = event.iteration;
      return [at.turn];
    },
    "model.completed": (event, at) => {
      const turn = at.turn ?? at.run;
      Object.assign(turn, { text: event.text, usage: event.usage, modelEnd: event.at, modelSeconds: event.duration_s });
      turn.close(event.at);
      this._spend(event.usage);
      return [turn];
    },
    "cell.started": (event, at) => {
      at.cell = this._add("cell", `cell-${event.seq}`, at.turn ?? at.run, event, { code: event.code });
      return [at.cell];
    },
    "cell.completed": (event, at) => {
      const { stdout, stderr, error, status, execution_time: seconds, cell: number } = event;
      Object.assign(at.cell, { stdout, stderr, error, status, seconds, number });
      at.cell.close(event.at, status === "ok" ? "ok" : "failed");
      at.turn?.close(event.at, at.turn.state === "failed" ? "failed" : at.cell.state);
      return [at.cell];
    },
    "subcalls.started": (event, at) => {
      const calls = this._callsOf(at, event);
      calls.offset = calls.asked;
      calls.asked += event.count;
      calls.state = "running";
      return [calls];
    },
    "subcall.completed": (event, at) => {
      const calls = this._callsOf(at, event);
      calls.rows[calls.offset + event.index] = event;
      calls.answered += 1;
      calls.failed += event.error ? 1 : 0;
      calls.usage = add(calls.usage, event.usage);
      if (event.child === null || event.child === undefined) this._spend(event.usage);
      this.root.calls += 1;
      if (calls.answered >= calls.asked) calls.close(event.at, calls.failed ? "failed" : "ok");
      return [calls];
    },
    "tool.started": (event, at) => {
      at.tool = this._add("tool", `tool-${event.seq}`, at.cell ?? at.turn ?? at.run, event, {
        tool: event.tool, sent: event.arguments_preview,
      });
      return [at.tool];
    },
    "tool.completed": (event, at) => {
      const { error, http_status: httpStatus, response_bytes: bytes, response_preview: got, duration_s: seconds } = event;
      Object.assign(at.tool, { error, httpStatus, bytes, got, seconds });
      at.tool.close(event.at, error ? "failed" : "ok");
      return [at.tool];
    },
    "child.started": (event) => {
      const asking = this._runs.get(event.parent) ?? this._runs.get(0);
      const calls = this._callsOf(asking, event);
      const child = this._add("child", `child-${event.node}`, calls, event, {
        node: event.node, index: calls.offset + event.index, depth: event.depth, model: event.model, turns: 0,
        prompt: event.prompt_preview, promptCharacters: event.prompt_chars, asking: asking.run,
      });
      this._runs.set(event.node, { run: child, turn: null, cell: null, tool: null });
      return [child];
    },
    "child.completed": (event, at) => {
      Object.assign(at.run, { answer: event.response_preview, error: event.error, usage: event.usage });
      at.run.close(event.at, event.error ? "failed" : "ok");
      for (const item of [at.turn, at.cell]) if (item?.state === "running") item.close(event.at, "failed");
      return [at.run];
    },
    "run.completed": (event) => this._finish(event, "ok", { answer: event.answer }),
    "run.failed": (event) => this._finish(event, "failed", { error: event.error, answer: event.partial_answer }),
  };

  _note(event, at) {
    const note = this._add("note", `note-${event.seq}`, at.turn ?? at.run, event, { event });
    note.close(event.at);
    return [note];
  }

  _finish(event, state, fields) {
    const left = [...this.items.values()].filter((item) => item.state === "running");
    for (const item of left) item.close(event.at, state);
    Object.assign(this.root, { usage: event.usage, calls: event.sub_calls, turns: event.iterations });
    const answer = this._add("answer", "answer", this.root, event, { ...fields, stopReason: event.stop_reason });
    answer.close(event.at, state);
    return [answer, ...left];
  }

  _callsOf(at, event) {
    const owner = at.cell ?? at.turn ?? at.run;
    const last = owner.children.findLast((item) => item.kind === "calls");
    if (last) return last;
    return this._add("calls", `calls-${event.seq}`, owner, event, {
      rows: [], asked: 0, answered: 0, failed: 0, offset: 0, usage: nothing,
    });
  }

  _add(kind, id, parent, event, fields) {
    const item = new Item(kind, id, parent, event.at, { node: event.node ?? 0, ...fields });
    this.items.set(item.id, item);
    this.latest = item;
    return item;
  }

  _spend(usage) {
    this.root.usage = add(this.root.usage, usage);
  }
}

export function ancestors(item) {
  const above = [];
  for (let each = item.parent; each; each = each.parent) above.push(each);
  return above;
}
