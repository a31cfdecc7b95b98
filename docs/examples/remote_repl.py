"""Run Python in the sandbox from a program with a loop of its own. Reads WASM_SERVICE_URL and WASM_API_KEY_FILE."""

from runtime.client import RemoteREPLEnv

with RemoteREPLEnv(timeout=5) as repl:  # one session; variables stay from call to call
    repl.code_execution("words = 'recursion is a function of its own definition'.split()")
    result = repl.code_execution("longest = max(words, key=len)\nprint(len(words), 'words')")
    print(result.stdout, end="")
    print("longest:", result.locals["longest"])

    failed = repl.code_execution("words.append('kept')\n1 / 0")
    print(failed.stderr.splitlines()[-1])

    stopped = repl.code_execution("words = None\nwhile True: pass")  # undone: the session is as it was before
    print(stopped.stderr.strip())
    print(repl.code_execution("print(words[-1])").stdout, end="")
