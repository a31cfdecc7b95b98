// Compiles Pyodide's standard library by Pyodide itself: `install.py` runs it once. The npm package has it as source,
// and compiling that was two thirds of each session's start (3.0 s of CPU; 0.9 s without).
//
//     node compile_stdlib.mjs PACKAGES TARGET

import fs from "node:fs";

const [packages, target] = process.argv.slice(2);
const { loadPyodide } = await import(`${packages}/pyodide/pyodide.mjs`);
const pyodide = await loadPyodide({ indexURL: `${packages}/pyodide/` });

// Sources stay, for tracebacks. What does not compile is a test of the compiler, and stays a source alone.
pyodide.runPython(`
import importlib.util
import zipfile
from importlib._bootstrap_external import _code_to_hash_pyc

LIBRARY = next(path for path in __import__("sys").path if path.endswith(".zip"))
with zipfile.ZipFile(LIBRARY) as source, zipfile.ZipFile("/tmp/compiled.zip", "w", zipfile.ZIP_DEFLATED) as compiled:
    for info in source.infolist():
        data = source.read(info)
        compiled.writestr(info, data)
        if info.filename.endswith(".py"):
            try:
                code = compile(data, f"{LIBRARY}/{info.filename}", "exec", dont_inherit=True)
            except SyntaxError:
                continue
            compiled.writestr(info.filename + "c", _code_to_hash_pyc(code, importlib.util.source_hash(data), False))
`);
fs.writeFileSync(target, pyodide.FS.readFile("/tmp/compiled.zip"));
