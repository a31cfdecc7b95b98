"""The way out: a file whose write hands over a message and returns the length of the reply, which a read fetches.

Kinds of message: N answer the last request and wait for the next one; C call a host function (suspends); P copy bytes
from the host to an address; G copy bytes from an address to the host.
"""

import os

from sandbox.trusted import read, write

DOOR = os.open("/host/door", os.O_RDWR)


def door(kind, message):
    length = write(DOOR, kind + message)
    return read(DOOR, length) if length else b""
