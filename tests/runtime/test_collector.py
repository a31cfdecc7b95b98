"""What the collector of garbage leaves alone, and that it goes on with the rest. In a process of its own, since it
changes the process."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import gc, weakref
from runtime.collector import spare_what_stays

class Node: pass

def drop_circle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

kept = [Node() for _ in range(1000)]
spare_what_stays()
watched = {id(each) for each in gc.get_objects()}
spared = sum(id(node) not in watched for node in kept)
gone = drop_circle()
crowd = [[] for _ in range(100_000)]
print(spared, gone() is None)
"""


def test_what_there_was_is_spared_and_later_garbage_is_collected() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1000", "True"]
