"""Functions of the standard library as they were at the start.

The package uses these, so that a cell that patches a module or a builtin does not end the loop. The unbound methods
give a subclass or metaclass of a cell no say.
"""

import json
import os
import random
import struct
import sys
import traceback

dumps, loads, exec_, eval_, compile_ = json.dumps, json.loads, exec, eval, compile
print_exception, write, read, type_, str_ = traceback.print_exception, os.write, os.read, type, str
getsizeof, isinstance_, issubclass_, len_, id_, pack = sys.getsizeof, isinstance, issubclass, len, id, struct.pack
encode, class_name = str.encode, type.__dict__["__name__"].__get__

seed, urandom, from_bytes = random.seed, os.urandom, int.from_bytes

NAME_CHARS = 200


def text(value):
    """An exact str that has a UTF-8 form: lone surrogates become escapes."""
    return encode(value, "utf-8", "backslashreplace").decode()


def reseed_random():
    """Numbers of `random` that no other session has."""
    seed(from_bytes(urandom(32), "little"))


def type_name(value):
    return text(class_name(type_(value)))[:NAME_CHARS]
