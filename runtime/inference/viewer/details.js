// What one item of the tree has to show.
import { code, output, prose } from "./code.js";
import { el } from "./dom.js";
import { count, duration, plural, spent } from "./format.js";
import { title } from "./tree.js";

const ROWS_SHOWN = 200;

/** The elements that show an item; `detail` is the service's record of the run. */
export function describe(item, trajectory, detail) {
  const show = { run, turn, cell, calls, child, tool, answer, note }[item.kind];
  const heading = item.kind === "cell" ? `Code of turn ${item.parent.iteration}` : title(item);
  return [el("h2", {}, heading), ...show(item, trajectory, detail)];
}

function run(item, trajectory, detail) {
  const answer = item.children.find((child) => child.kind === "answer");
  return [
    el("h3", {}, "Question"), output(detail.question, "question"),
    ...(answer ? [el("h3", {}, answer.error ? "Why there is no answer" : "Answer"), ...answered(answer)] : []),
    el("h3", {}, "Limits"),
    facts({
      Turns: detail.limits.max_iterations, "Sub-calls": detail.limits.max_subcalls, Depth: detail.limits.max_depth,
      Time: duration(detail.limits.timeout), Tokens: detail.limits.max_tokens, Cost: detail.limits.max_cost,
    }),
    ...byModel(detail.usage_by_model),
  ];
}

function byModel(usages) {
  const models = Object.entries(usages);
  if (!models.length) return [];
  const rows = models.map(([model, usage]) => el("tr", {}, el("th", { scope: "row" }, model),
    el("td", {}, count(usage.prompt_tokens)), el("td", {}, count(usage.completion_tokens)), el("td", {}, spent(usage))));
  return [el("h3", {}, "Spent"), table(["Model", "Prompt", "Completion", "Together"], rows)];
}

function turn(item) {
  if (item.text === undefined) return [waiting("The model is asked.")];
  return [facts({ Time: duration(item.modelSeconds), Spent: spent(item.usage) }), el("h3", {}, "The model said"),
    ...prose(item.text)];
}

function cell(item) {
  const parts = [code(item.code)];
  if (item.status === undefined) return [...parts, waiting("The code runs.")];
  parts.unshift(facts({ Ended: item.status, Time: duration(item.seconds), Cell: item.number }));
  if (item.stdout) parts.push(el("h3", {}, "Printed"), output(item.stdout, "stdout"));
  if (item.stderr) parts.push(el("h3", {}, "Printed as errors"), output(item.stderr, "stderr"));
  if (item.error) parts.push(el("h3", {}, "Raised"), output(errorText(item.error), "error"));
  if (!item.stdout && !item.stderr && !item.error) parts.push(el("p", { class: "muted" }, "It printed nothing."));
  return parts;
}

const errorText = (error) => `${error.type}: ${error.message}${error.line ? ` (line ${error.line})` : ""}`;

function calls(item) {
  const list = el("ol", { class: "calls" });
  const more = el("button", { type: "button" });
  let shown = 0;
  const extend = () => {
    const next = Math.min(item.rows.length, shown + ROWS_SHOWN);
    for (; shown < next; shown += 1) list.append(call(item.rows[shown], shown));
    more.hidden = shown >= item.rows.length;
    more.textContent = `Show more of ${count(item.rows.length)}`;
  };
  more.addEventListener("click", extend);
  extend();
  return [facts({ Answered: `${count(item.answered)} of ${count(item.asked)}`, Failed: item.failed || null,
    Spent: spent(item.usage) }), list, more];
}

function call(row, index) {
  if (!row) return el("li", { class: "call", value: index + 1 }, waiting("not answered yet"));
  const said = [row.model, duration(row.duration_s), row.reused ? "answered before" : spent(row.usage),
    row.child ? `child run ${row.child}` : null];
  return el("li", { class: row.error ? "call failed" : "call", value: index + 1 },
    el("p", { class: "asked" }, row.prompt_preview, beyond(row.prompt_chars, row.prompt_preview)),
    el("p", { class: "answered" }, row.error ?? row.response_preview),
    el("p", { class: "muted" }, said.filter(Boolean).join(" · ")));
}

function beyond(characters, preview) {
  return characters > preview.length ? el("span", { class: "muted" }, ` (${plural(characters, "character")})`) : null;
}

function child(item) {
  const parts = [facts({ Model: item.model, Depth: item.depth, Turns: item.turns || null,
    Spent: item.usage ? spent(item.usage) : null }), el("h3", {}, "Asked"), output(item.prompt, "prompt")];
  if (item.promptCharacters > item.prompt.length) {
    parts.push(el("p", { class: "muted" }, `the beginning of ${plural(item.promptCharacters, "character")}`));
  }
  if (item.state === "running") return [...parts, waiting("It is at work.")];
  return [...parts, el("h3", {}, item.error ? "Failed" : "Answered"), output(item.error ?? item.answer, "answer")];
}

function tool(item) {
  const parts = [el("h3", {}, "Sent"), output(item.sent, "arguments")];
  if (item.state === "running") return [...parts, waiting("It is called.")];
  parts.unshift(facts({ Status: item.httpStatus, Time: duration(item.seconds), Size: plural(item.bytes, "byte") }));
  return [...parts, el("h3", {}, item.error ? "Failed" : "Got"), output(item.error ?? item.got, "reply")];
}

const answer = (item) => answered(item);

function answered(item) {
  const parts = [];
  if (item.error) parts.push(el("p", { class: "problem" }, `${item.error.code}: ${item.error.message}`));
  if (item.error && item.answer) parts.push(el("h3", {}, "What was found so far"));
  if (item.answer) parts.push(output(item.answer, "answer"));
  if (item.stopReason === "max_iterations") {
    parts.push(el("p", { class: "muted" }, "Out of turns: this is the model's best answer from what was found."));
  }
  return parts;
}

function note(item) {
  const { type, run_id, seq, at, node, ...fields } = item.event;
  return Object.entries(fields).flatMap(([name, value]) => [
    el("h3", {}, name.replaceAll("_", " ")),
    output(typeof value === "string" ? value : JSON.stringify(value, null, 2), name),
  ]);
}

function facts(values) {
  const known = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function table(names, rows) {
  return el("div", { class: "scrolled" }, el("table", {}, el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows)));
}

const waiting = (text) => el("p", { class: "waiting" }, text);
