"""Starts the scripted stand-in: `python -m runtime.inference.demo_model --port 0`.

It says on standard output where it listens, and ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from prometheus_client import CollectorRegistry

from runtime.inference.demo_model.server import MODEL, Behaviour, create_app
from runtime.web import Listening, Operations, Server


def main() -> None:
    options = _parse_arguments()

    def announce(listening: Listening) -> None:
        # The line that whoever started it with port 0 waits for.
        sys.stdout.write(f"{MODEL} listens on http://{options.host}:{listening.api_port}/v1\n")
        sys.stdout.flush()

    server = Server(
        app=create_app(Behaviour(options.latency_seconds, options.fail_every, options.fail_status)),
        operations=Operations(CollectorRegistry(), readiness=lambda: None),
        host=options.host,
        port=options.port,
        on_listening=announce,
    )
    asyncio.run(server.serve())


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.inference.demo_model",
        description=f"{MODEL}: an OpenAI-compatible stand-in model that follows rules and has no intelligence.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port; 0 lets the system choose (default: %(default)s)")
    parser.add_argument("--latency-seconds", type=float, default=0.0, help="wait before each reply")
    parser.add_argument("--fail-every", type=int, default=0, metavar="N", help="every N-th completion fails; 0: none")
    parser.add_argument("--fail-status", type=int, default=503, help="HTTP status of those (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
