"""The generators of `random` and, where it is loaded, of `numpy.random`."""

import os
import random
import sys

set_seed, urandom, from_bytes, modules = random.seed, os.urandom, int.from_bytes, sys.modules


def seed(number):
    """Both from one number; a small one gives what a cell's own `seed(number)` would."""
    set_seed(number)
    numpy = modules.get("numpy")
    if numpy is not None:
        words = [number >> shift & 0xFFFFFFFF for shift in range(0, max(number.bit_length(), 1), 32)]
        numpy.random.seed(words if len(words) > 1 else number)


def reseed():
    """Numbers that no other session has."""
    seed(from_bytes(urandom(32), "little"))
