"""Sessions that runs want: how many wait for one and have one, and how long a run waits for a pool without pods.

Used by the runner and by child runs around what opens a session. The gauge is what a pool that scales to zero is scaled
by: a run that waits keeps it above zero until a server is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

from runtime.inference.errors import SandboxUnreachableError
from runtime.inference.metrics import Metrics
from runtime.inference.session import ReplSession

RETRY_INTERVAL: Final = 1.0

OpenSession = Callable[[], AbstractAsyncContextManager[ReplSession]]
"""Opens a new one at every call."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def demand_session(metrics: Metrics, open_session: OpenSession, patience: float) -> AsyncIterator[ReplSession]:
    """The session, for as long as the block runs. Where no server can be reached it is asked for again for `patience`
    seconds; then SandboxUnreachableError is raised."""
    waiting, live = (metrics.sandbox_demand.labels(state) for state in ("waiting", "live"))
    async with AsyncExitStack() as stack:
        with waiting.track_inprogress():
            session = await _enter(stack, open_session, patience)
        with live.track_inprogress():
            yield session


async def _enter(stack: AsyncExitStack, open_session: OpenSession, patience: float) -> ReplSession:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            return await stack.enter_async_context(open_session())
        except SandboxUnreachableError as error:
            if loop.time() + RETRY_INTERVAL > deadline:
                raise
            log.info("waiting for a sandbox", extra={"problem": error.message})
        await asyncio.sleep(RETRY_INTERVAL)
