"""`python -m runtime.sandbox`: the sandbox service as a process, with settings from the environment."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys

from runtime.keyring import KeyFolderError, KeyRing
from runtime.logs import configure_logging
from runtime.sandbox.allocator import return_large_blocks
from runtime.sandbox.app import create_app
from runtime.sandbox.errors import SandboxError
from runtime.sandbox.service import SandboxService
from runtime.sandbox.settings import SandboxSettings
from runtime.settings import USAGE_ERROR, load_settings
from runtime.tls import TlsFolder, TlsFolderError
from runtime.tls_files import Side
from runtime.web import Operations, Server

PROGRAM = "runtime.sandbox"
HANDLER_SECONDS = 1.0  # for replies to get out; cells had the time of the drain

log = logging.getLogger(PROGRAM)


def main(argv: list[str] | None = None) -> int:
    settings = load_settings(SandboxSettings, PROGRAM, sys.argv[1:] if argv is None else argv)
    configure_logging(settings.log_level, settings.log_format)
    keys = KeyRing(settings.api_keys_dir) if settings.auth_mode == "APIKey" else None
    try:
        if keys is not None:
            keys.require_keys()
        tls = TlsFolder("SANDBOX_TLS_DIR", settings.tls_dir, Side.SERVER) if settings.tls_dir else None
    except KeyFolderError as error:
        sys.stderr.write(f"{PROGRAM}: SANDBOX_API_KEYS_DIR: {error}\n")
        return USAGE_ERROR
    except TlsFolderError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return USAGE_ERROR
    raise_descriptor_limit()
    return_large_blocks()
    return asyncio.run(run(settings, keys, tls))


def raise_descriptor_limit() -> None:
    """A session takes two descriptors here, and a process starts with a soft limit of 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def run(settings: SandboxSettings, keys: KeyRing | None, tls: TlsFolder | None) -> int:
    """Serve until SIGTERM. Status 1 if the guest cannot be started."""
    service = SandboxService(settings)
    if tls is not None:
        service.metrics.certificate_expiry.labels("server").set_function(tls.expires)
    server = Server(
        app=create_app(service, keys),
        operations=Operations(service.metrics.registry, service.readiness, service.missing_measures),
        host=settings.host,
        port=settings.port,
        metrics_port=settings.metrics_port,
        tls=tls.following_context() if tls is not None else None,
        drain=service.drain,
        shutdown_timeout=HANDLER_SECONDS,
        cancel_on_disconnect=True,
    )
    failure: list[str] = []

    async def start() -> None:
        try:
            await service.start()
        except SandboxError as error:
            failure.append(str(error))
            server.stopping.set()

    starting = asyncio.get_running_loop().create_task(start())
    try:
        await server.serve()
    except OSError as error:
        failure.append(f"cannot listen on {settings.host}:{settings.port}: {error}")
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await service.close()
    for message in failure:
        log.error(message)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
