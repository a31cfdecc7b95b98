// In the real driver's place: what JavaScript can do that has all of Node, as after an escape from Pyodide.
// Says for each attempt "done" or the error's code, as one message on descriptor 4, and reads none.

import childProcess from "node:child_process";
import fs from "node:fs";
import net from "node:net";

const attempt = (action) => {
  try {
    const result = action();
    return result?.error ? result.error.code : `done ${String(result).slice(0, 80)}`;
  } catch (error) {
    return error.code ?? error.name;
  }
};

const connecting = (options) =>
  new Promise((resolve) => {
    try {
      const socket = net.connect(options, () => resolve("done"));
      socket.on("error", (error) => resolve(error.code));
    } catch (error) {
      resolve(error.code ?? error.name);
    }
  });

const outcomes = {
  "read a file": attempt(() => fs.readFileSync("/etc/passwd")),
  "list a folder": attempt(() => fs.readdirSync("/")),
  "write a file": attempt(() => fs.writeFileSync("/tmp/escaped", "x")),
  "read another process's environment": attempt(() => fs.readFileSync("/proc/1/environ")),
  "read another process's memory": attempt(() => fs.openSync("/proc/1/mem")),
  "start a program": attempt(() => childProcess.spawnSync("/bin/true")),
  "start Node again": attempt(() => childProcess.spawnSync(process.execPath, ["--version"])),
  "signal its parent": attempt(() => process.kill(process.ppid, 0)),
  "signal everybody": attempt(() => process.kill(-1, 0)),
  "become root": attempt(() => process.setuid(0)),
  "load a native module": attempt(() => process.dlopen({ exports: {} }, "/usr/lib/x86_64-linux-gnu/libm.so.6")),
  "code from a string": attempt(() => new Function("return 1")()),
  "connect": await connecting({ host: "127.0.0.1", port: 9 }),
  "connect to a socket file": await connecting({ path: "/run/anything.sock" }),
  "environment": Object.keys(process.env).sort().join(" "),
  "what a session needs": attempt(() => fs.readFileSync("/proc/self/fd/5/pyodide/package.json").length),
};

const head = Buffer.from(JSON.stringify({ kind: "X" }));
const body = Buffer.from(JSON.stringify(outcomes));
const lengths = Buffer.alloc(8);
lengths.writeUInt32LE(head.length, 0);
lengths.writeUInt32LE(body.length, 4);
fs.writeSync(4, Buffer.concat([lengths, head, body]));
process.exit(0);
