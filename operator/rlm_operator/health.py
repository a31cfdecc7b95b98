"""The operator's small HTTP server: /healthz, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from rlm_operator.metrics import Metrics


@dataclass(frozen=True)
class Checks:
    """Each returns what is wrong; an empty list is a 200, anything else a 503 that names it."""

    alive: Callable[[], list[str]]
    ready: Callable[[], list[str]]


async def start_health_server(host: str, port: int, checks: Checks, metrics: Metrics) -> web.AppRunner:
    """Listen; the caller cleans the runner up. Port 0 takes a free one. Raises OSError when the port is taken."""

    async def healthz(_: web.Request) -> web.Response:
        return _answer(checks.alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer([*checks.alive(), *checks.ready()])

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _answer(problems: list[str]) -> web.Response:
    if problems:
        return web.Response(status=503, text="\n".join(problems) + "\n")
    return web.Response(text="ok\n")
