"""Everything that the command line gives up on, with its exit status.

    CommandError                     1
    ├── InputError                   2  wrong arguments, or files that cannot be used
    ├── EndpointError                3  the endpoint is not there, or refuses
    ├── StartError                   4  a local stack could not be started or kept running
    ├── VerificationError            5  the checklist of a running installation has items that do not hold
    └── RunFailedError               1  the run ended without an answer

Messages go to standard error as they are; `__main__` alone turns these into an exit status.
"""

from __future__ import annotations

from typing import ClassVar


class CommandError(Exception):
    """Base. `exit_status` is the program's."""

    exit_status: ClassVar[int] = 1


class InputError(CommandError):
    exit_status = 2


class EndpointError(CommandError):
    exit_status = 3


class StartError(CommandError):
    exit_status = 4


class VerificationError(CommandError):
    exit_status = 5


class RunFailedError(CommandError):
    pass
