// The line protocol of line_child.py, cells by Pyodide: node pyodide_child.mjs PATH/TO/pyodide.mjs
import { openSync, readSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { loadPyodide } = await import(pathToFileURL(process.argv[2]).href);
// Opened anew: Node makes the ones it was given non-blocking, and reads of those fail when nothing is there.
const source = openSync("/dev/stdin", "r");
const sink = openSync("/dev/stdout", "w");
const chunk = Buffer.alloc(1 << 20);
let rest = [];

function readLine() {
  for (;;) {
    const size = readSync(source, chunk);
    if (size === 0) process.exit(0);
    const piece = Buffer.from(chunk.subarray(0, size));
    rest.push(piece);
    if (piece[size - 1] === 10) {
      const line = Buffer.concat(rest).toString();
      rest = [];
      return JSON.parse(line);
    }
  }
}

function say(reply) {
  const bytes = Buffer.from(JSON.stringify(reply) + "\n");
  for (let sent = 0; sent < bytes.length; ) sent += writeSync(sink, bytes, sent);
}

let printed = [];
const pyodide = await loadPyodide({ stdout: (line) => printed.push(line + "\n") });
pyodide.globals.set("ask", (payload) => {
  say({ call: payload });
  return readLine().answer;
});
for (;;) {
  const request = readLine();
  try {
    if (request.put) {
      pyodide.globals.set(...request.put);
      say({ out: "" });
    } else if (request.get) {
      say({ value: pyodide.globals.get(request.get) });
    } else {
      printed = [];
      pyodide.runPython(request.run);
      say({ out: printed.join("") });
    }
  } catch (error) {
    say({ error: String(error) });
  }
}
