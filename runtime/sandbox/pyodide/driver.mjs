// Runs inside Node, one per session: loads Pyodide and runs the guest's program, which never returns.
//
// Started by `node_process.py` with two pipes and one folder. Descriptor 3 brings frames of the relay (`relay.py`): 4
// bytes of length (little-endian), one of kind (B begin, L memory limit, R reply, F bytes of a variable), the body.
// Descriptor 4 takes the guest's messages: the length of the head, the length of the body, a JSON head, the body. Both
// block, and so does the only thread: a guest that waits at its door is suspended wherever it stands.
//
// None of this is a boundary: code of a cell can get at JavaScript (docs/design/0009-pyodide.md). What it gets is a
// process that the kernel keeps from files, network and other processes (`node_process.py`).

import fs from "node:fs";

const FROM_RELAY = 3;
const TO_RELAY = 4;
const PACKAGES = "/proc/self/fd/5/"; // not by its own path: this user may have no way through its parents
const STDLIB = "stdlib-compiled.zip"; // made by compile_stdlib.mjs
const PAGE_BYTES = 65536;
const DOOR_MAJOR = 64; // any number that Emscripten's devices do not use
const DETAIL_CHARACTERS = 300;
const CHARACTER_DEVICE = 0o020666;
const NOTHING = Buffer.alloc(0);
const { exit } = process;

// What leads from a cell's code to Node by name. Code generation from strings is off by a flag.
const WAYS_OUT = ["process", "require", "module", "fetch", "WebSocket", "Worker", "navigator", "global", "eval"];

function readFully(view) {
  for (let done = 0; done < view.length; ) {
    const count = fs.readSync(FROM_RELAY, view, done, view.length - done, null);
    if (count === 0) exit(0); // the relay is gone
    done += count;
  }
}

function writeFully(view) {
  for (let done = 0; done < view.length; ) done += fs.writeSync(TO_RELAY, view, done, view.length - done, null);
}

function nextFrame() {
  const header = Buffer.alloc(5);
  readFully(header);
  return { kind: String.fromCharCode(header[4]), length: header.readUInt32LE(0) };
}

function bodyOf(frame) {
  const body = Buffer.alloc(frame.length);
  readFully(body);
  return body;
}

// The body is `parts` one after the other; the relay knows from the head where each begins.
function say(head, ...parts) {
  const encoded = Buffer.from(JSON.stringify(head));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(encoded.length, 0);
  lengths.writeUInt32LE(parts.reduce((sum, part) => sum + part.length, 0), 4);
  for (const piece of [lengths, encoded, ...parts]) writeFully(piece);
}

// Output past sys.stdout: what C code or os.write(1, …) wrote, at most `cap` bytes between two replies.
class Capture {
  constructor(cap) {
    this.cap = cap;
    this.take();
  }

  write(bytes) {
    const part = bytes.slice(0, this.cap - this.length);
    if (part.length) this.parts.push(part);
    this.length += part.length;
    this.truncated ||= part.length < bytes.length;
    return bytes.length;
  }

  take() {
    const taken = { bytes: Buffer.concat(this.parts ?? []), truncated: this.truncated };
    this.parts = [];
    this.length = 0;
    this.truncated = false;
    return taken;
  }
}

// A heap beyond the limit is refused as an engine refuses it, so that the guest sees MemoryError.
function limitMemory(limit) {
  const grow = WebAssembly.Memory.prototype.grow;
  const bound = { bytes: limit };
  WebAssembly.Memory.prototype.grow = function (pages) {
    if (this.buffer.byteLength + pages * PAGE_BYTES > bound.bytes) throw new RangeError("memory limit");
    return grow.call(this, pages);
  };
  return bound;
}

// The file /host/door: a write hands over a message and gives the length of the reply, which a read fetches.
class Door {
  constructor(module, captures, bound) {
    this.module = module;
    this.captures = captures;
    this.bound = bound;
    this.reply = NOTHING;
  }

  open(stream) {
    stream.seekable = false;
  }

  read(_stream, heap, offset, length) {
    const part = this.reply.subarray(0, length);
    heap.set(part, offset);
    this.reply = this.reply.subarray(part.length);
    return part.length;
  }

  write(_stream, heap, offset, length) {
    const message = new Uint8Array(heap.buffer, heap.byteOffset + offset, length);
    this.reply = this.ask(String.fromCharCode(message[0]), message.subarray(1));
    return this.reply.length;
  }

  ask(kind, body) {
    if (kind === "N" || kind === "C") {
      const [out, err] = [this.captures.stdout.take(), this.captures.stderr.take()];
      const lengths = { stdout: out.bytes.length, stderr: err.bytes.length };
      const truncated = { stdout_truncated: out.truncated, stderr_truncated: err.truncated };
      say({ kind, memory: this.module.HEAPU8.length, ...lengths, ...truncated }, out.bytes, err.bytes, body);
      return this.nextReply();
    }
    if (kind === "S") return (this.sleep(Buffer.from(body).readDoubleLE(0)), NOTHING);
    if (kind !== "P" && kind !== "G") return NOTHING;
    const range = Buffer.from(body);
    const address = Number(range.readBigUInt64LE(0));
    const place = this.module.HEAPU8.subarray(address, address + Number(range.readBigUInt64LE(8)));
    return kind === "P" ? this.fill(place) : this.collect(place);
  }

  nextReply() {
    for (;;) {
      const frame = nextFrame();
      const body = bodyOf(frame);
      if (frame.kind === "R") return body;
      if (frame.kind === "L") this.bound.bytes = Number(body.toString());
    }
  }

  sleep(seconds) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
  }

  fill(place) {
    say({ kind: "P", length: place.length });
    const frame = nextFrame();
    if (frame.length !== place.length) return (bodyOf(frame), NOTHING);
    readFully(place);
    return Buffer.from("1");
  }

  collect(place) {
    say({ kind: "G" }, place);
    return this.nextReply();
  }
}

async function main() {
  const { files, program, memory, output } = JSON.parse(bodyOf(nextFrame()).toString());
  const bound = limitMemory(memory);
  const { info } = JSON.parse(fs.readFileSync(`${PACKAGES}pyodide/pyodide-lock.json`, "utf8"));
  const { loadPyodide } = await import(`${PACKAGES}pyodide/pyodide.mjs`);
  const pyodide = await loadPyodide({
    indexURL: `${PACKAGES}pyodide/`,
    stdLibURL: `${PACKAGES}${STDLIB}`,
    jsglobals: Object.freeze(Object.create(null)),
    // The hash seed is fixed so that a replayed session iterates over sets as the first one did.
    env: { HOME: "/tmp", PWD: "/tmp", PYTHONHASHSEED: "0" },
    lockFileContents: { info, packages: {} }, // nothing can be loaded later
    _sysExecutable: "/usr/bin/python", // else the path of this file, which getpath follows into descriptors
    stdin: () => null,
  });
  const captures = { stdout: new Capture(output), stderr: new Capture(output) };
  pyodide.setStdout(captures.stdout);
  pyodide.setStderr(captures.stderr);
  const { FS } = pyodide;
  FS.mkdirTree("/host/sandbox");
  for (const [path, source] of Object.entries(files)) FS.writeFile(path, source);
  const device = FS.makedev(DOOR_MAJOR, 0);
  const door = new Door(pyodide._module, captures, bound);
  FS.registerDevice(device, { open: (s) => door.open(s), read: (...a) => door.read(...a), write: (...a) => door.write(...a) });
  FS.mkdev("/host/door", CHARACTER_DEVICE, device);
  for (const name of ["js", "pyodide_js"]) pyodide.unregisterJsModule(name);
  for (const name of WAYS_OUT) delete globalThis[name];
  pyodide.runPython(program);
  return "the guest's program returned";
}

function end(error) {
  say({ kind: "X", detail: String(error).slice(0, DETAIL_CHARACTERS) });
  exit(3);
}

process.on("uncaughtException", end);
end(await main().catch((error) => error));
