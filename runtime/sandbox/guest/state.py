"""What lasts from cell to cell: the names, the outputs, the events, the hooks."""

import builtins
import sys
import types

from sandbox.output import CappedOutput


class Session:
    """What lasts from cell to cell."""

    def __init__(self):
        self.main = types.ModuleType("__main__")
        self.main.__builtins__ = builtins
        sys.modules["__main__"] = self.main
        self.names = self.main.__dict__
        self.names.pop("__loader__", None)
        self.hidden = set(self.names)
        self.host_functions = set()
        self.after_cell = []
        self.stdout = CappedOutput(1 << 20)
        self.stderr = CappedOutput(1 << 20)
        self.events = []
        self.event_bytes = 0

    def take_output(self):
        """What a reply carries, once."""
        out, err = self.stdout, self.stderr
        taken = {
            "stdout": out.take(),
            "stderr": err.take(),
            "stdout_truncated": out.truncated,
            "stderr_truncated": err.truncated,
            "events": self.events,
        }
        self.events = []
        self.event_bytes = 0
        return taken


session = Session()
