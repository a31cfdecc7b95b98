"""Cells that end their process, or pretend to have ended well."""

from __future__ import annotations

from typing import Final

from tests.runtime.sandbox.attacks.attack import CRASHED, ERROR, OK, TIMEOUT, Attack

ENDINGS: Final = (
    Attack("11 abort", "os.abort()", (CRASHED,)),
    Attack("11 _exit", "os._exit(0)", (CRASHED,)),
    Attack("11 sys.exit", "sys.exit()", (ERROR,), error="SystemExit"),
    Attack("11 sys.exit(0)", "print('all tests passed'); sys.exit(0)", (ERROR,), error="SystemExit"),
    Attack("11 raise SystemExit(0)", "raise SystemExit(0)", (ERROR,), error="SystemExit"),
    Attack("11 exit through the builtin", "exit(0)", (ERROR,)),
    Attack("11 KeyboardInterrupt", "raise KeyboardInterrupt", (ERROR,), error="KeyboardInterrupt"),
    Attack("11 GeneratorExit", "raise GeneratorExit", (ERROR,), error="GeneratorExit"),
    Attack("11 SIGKILL to itself", "import signal; os.kill(os.getpid(), 9)", (ERROR, CRASHED)),
    Attack("11 raise_signal", "import signal; signal.raise_signal(signal.SIGABRT)", (ERROR, CRASHED)),
    Attack("11 faulthandler", "import faulthandler; faulthandler._sigsegv()", (ERROR, CRASHED)),
    Attack(
        "11 null pointer by hand-made code",
        "exec((lambda: 0).__code__.replace(co_code=bytes([255] * 20)))",
        (ERROR, CRASHED, OK, TIMEOUT),
    ),
    Attack("11 an exit in after_cell", "import sandbox; sandbox.after_cell(lambda: os._exit(0))", (CRASHED,)),
    Attack(
        "11 closed descriptors",
        """
for fd in range(100):
    try: os.close(fd)
    except OSError: pass
""",
        (OK, CRASHED),
    ),
)
