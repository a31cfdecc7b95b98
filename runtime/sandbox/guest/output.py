"""sys.stdout and sys.stderr of a cell."""

from sandbox.trusted import encode, isinstance_, len_, str_, type_


class CappedOutput:
    """sys.stdout and sys.stderr of a cell: keeps the first `cap` bytes of UTF-8, counts the rest as truncated."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    closed = False

    def __init__(self, cap):
        self.cap = cap
        self.parts = []
        self.length = 0
        self.truncated = False

    def write(self, chunk):
        if not isinstance_(chunk, str_):
            raise TypeError("write() argument must be str, not " + type_(chunk).__name__)
        chunk = "".join((chunk,))
        room = max(self.cap - self.length, 0)
        start = chunk[:room]
        encoded = start if start.isascii() else encode(start, "utf-8", "backslashreplace")
        part = encoded[:room]
        self.length += len_(part)
        self.parts.append(part if isinstance_(part, str_) else part.decode("utf-8", "ignore"))
        if len_(self.parts) > 4096:
            self.parts = ["".join(self.parts)]
        if len_(start) < len_(chunk) or len_(part) < len_(encoded):
            self.truncated = True
            self.length = self.cap
        return len_(chunk)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    def close(self):
        pass

    def isatty(self):
        return False

    def readable(self):
        return False

    def writable(self):
        return True

    def seekable(self):
        return False

    def fileno(self):
        raise OSError("the output of a cell has no descriptor")

    def take(self):
        value = "".join(self.parts)
        self.parts = []
        return value
