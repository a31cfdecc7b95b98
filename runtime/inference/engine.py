"""What every run of a process shares: models, sandbox, metrics, settings.

Opened once by `__main__` for the service, and by `runtime.client` for each of its completions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from runtime.audit import open_audit_log
from runtime.inference.audit import Audit
from runtime.inference.breaker import BreakerState
from runtime.inference.child_slots import ChildSlots
from runtime.inference.context_cache import ContextCache
from runtime.inference.llm import Models
from runtime.inference.metrics import Metrics
from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.sandbox_tls import open_sandbox_tls
from runtime.inference.sandbox_watch import SandboxWatch
from runtime.inference.session import Sandbox
from runtime.inference.settings import InferenceSettings
from runtime.inference.tools.toolbox import Toolbox, open_toolbox
from runtime.inference.tracing import Tracing, outgoing_headers


@dataclass(frozen=True)
class Engine:
    settings: InferenceSettings
    models: Models
    sandbox: Sandbox
    metrics: Metrics
    child_slots: ChildSlots
    tracing: Tracing
    audit: Audit
    tools: Toolbox
    contexts: ContextCache


@contextlib.asynccontextmanager
async def open_engine(settings: InferenceSettings, metrics: Metrics) -> AsyncIterator[Engine]:
    """Models and sandbox client, with the watch running; closed at the end. Raises TlsFolderError and
    ToolFileError."""
    tls = open_sandbox_tls(settings.wasm_service_url, settings.wasm_tls_dir)
    if tls is not None:
        metrics.certificate_expiry.labels("client").set_function(tls.expires)
    client = SandboxClient(
        settings.wasm_service_url,
        settings.wasm_api_key_file,
        patience=settings.timeout_seconds,
        tls=tls.following_context() if tls is not None else None,
        headers=outgoing_headers,
    )
    for state in BreakerState:
        metrics.sandbox_servers.labels(state.value).set_function(partial(client.count_servers, state))
    watch = SandboxWatch(client)
    watching = asyncio.create_task(watch.run())
    try:
        async with _open_tracing(settings) as tracing, open_toolbox(settings.tools_file) as tools:
            models = Models(settings, metrics, tracing)
            contexts = ContextCache(client, metrics)
            try:
                slots = ChildSlots(settings.max_child_runs)
                audit = Audit(open_audit_log(is_on=settings.audit_log))
                sandbox = Sandbox(client, watch)
                yield Engine(settings, models, sandbox, metrics, slots, tracing, audit, tools, contexts)
            finally:
                await contexts.close()
                await models.close()
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await client.close()


@contextlib.asynccontextmanager
async def _open_tracing(settings: InferenceSettings) -> AsyncIterator[Tracing]:
    """Off without an endpoint."""
    if settings.traces_endpoint is None:
        yield Tracing()
        return
    from runtime.inference.trace_export import open_export  # slow to load

    async with open_export(settings.traces_endpoint, with_content=settings.trace_content) as tracing:
        yield tracing
