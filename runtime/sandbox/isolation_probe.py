"""`python -m runtime.sandbox.isolation_probe`: tries connections that a policy should let through, or should not.

The operator runs it in pods of their own beside a pool (design record 0026): with the sandbox's network label nothing
outside may be reached; without a caller's label the sandbox may not be, with it it must be. What was reached is written
as JSON to the pod's termination message; what it means is for the operator to say.

A network plugin may need some seconds before a policy holds for a new pod, so what comes out otherwise than expected is
tried again, and the last round counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TERMINATION_LOG: Final = Path("/dev/termination-log")
RESOLV_CONF: Final = Path("/etc/resolv.conf")
METADATA: Final = ("169.254.169.254", 80)
INTERNET: Final = ("1.1.1.1", 443)
_ROUNDS: Final = 4

Attempt = Callable[[float], Awaitable[bool]]
"""Gets the seconds that it may take; whether something answered."""


@dataclass(frozen=True)
class Target:
    """Something to reach; `name` is for the report. What `expected` says is tried again when it comes out otherwise."""

    name: str
    attempt: Attempt
    expected: bool | None


def main(argv: list[str] | None = None) -> int:
    """0 once the report is written, whatever it says; 2 for wrong arguments."""
    options = _parser().parse_args(argv)
    targets = [_connection(*target, expected=True) for target in options.open]
    targets += [_connection(*target, expected=False) for target in options.closed]
    if options.outside:
        expected = False if options.outside == "closed" else None
        targets += outside_targets(os.environ, options.resolv_conf, expected)
    reached = asyncio.run(probe(targets, options.seconds, options.pause))
    report = {"reached": sorted(reached), "tried": sorted(target.name for target in targets)}
    options.report.write_text(json.dumps(report))
    sys.stdout.write(f"{json.dumps(report)}\n")
    return 0


async def probe(targets: list[Target], seconds: float, pause: float) -> set[str]:
    """Names of the targets that answered, each within `seconds`; `pause` seconds are between the rounds."""
    outcome: dict[str, bool] = {}
    left = targets
    for _ in range(_ROUNDS):
        answers = await asyncio.gather(*(target.attempt(seconds) for target in left))
        outcome.update(zip((target.name for target in left), answers, strict=True))
        left = [target for target in left if target.expected not in (None, outcome[target.name])]
        if not left:
            break
        await asyncio.sleep(pause)
    return {name for name, has_answered in outcome.items() if has_answered}


def outside_targets(environment: Mapping[str, str], resolv_conf: Path, expected: bool | None) -> list[Target]:
    """What a sandbox must never reach: the API server, the cloud's metadata, DNS, the Internet."""
    targets = [
        _connection("metadata", *METADATA, expected=expected),
        _connection("internet", *INTERNET, expected=expected),
    ]
    server = environment.get("KUBERNETES_SERVICE_HOST")
    if server:
        port = int(environment.get("KUBERNETES_SERVICE_PORT", "443"))
        targets.append(_connection("api-server", server, port, expected=expected))
    nameservers = [line.split()[1] for line in _lines(resolv_conf) if line.startswith("nameserver ")]
    if nameservers:
        targets.append(Target("dns", lambda seconds: _ask_dns(nameservers[0], seconds), expected))
    return targets


def _connection(name: str, host: str, port: int, *, expected: bool | None) -> Target:
    return Target(name, lambda seconds: _connect(host, port, seconds), expected)


async def _connect(host: str, port: int, seconds: float) -> bool:
    """A connection that is refused was not let through to anything that listens, so it does not count."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _ask_dns(server: str, seconds: float) -> bool:
    """Any answer to a question counts, an error too: the packet went there and back."""
    question = struct.pack("!HHHHHH", secrets.randbelow(65536), 0x0100, 1, 0, 0, 0)
    question += b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00" + struct.pack("!HH", 1, 1)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        try:
            async with asyncio.timeout(seconds):
                await loop.sock_connect(udp, (server, 53))
                await loop.sock_sendall(udp, question)
                return len(await loop.sock_recv(udp, 512)) > 0
        except (OSError, TimeoutError):
            return False


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def _target(text: str) -> tuple[str, str, int]:
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if not (name and host):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=HOST:PORT")
    return name, host.strip("[]"), int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runtime.sandbox.isolation_probe", description="Tries network connections.")
    target: dict[str, Any] = {"action": "append", "default": [], "type": _target, "metavar": "NAME=HOST:PORT"}
    parser.add_argument("--open", **target, help="a TCP target that should answer")
    parser.add_argument("--closed", **target, help="a TCP target that should not")
    parser.add_argument("--outside", choices=("closed", "any"), help="try API server, metadata, DNS and the Internet")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each attempt")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between attempts")
    parser.add_argument("--report", type=Path, default=TERMINATION_LOG, help="file for the report")
    parser.add_argument("--resolv-conf", type=Path, default=RESOLV_CONF, help="where the nameserver is written")
    return parser


if __name__ == "__main__":
    sys.exit(main())
