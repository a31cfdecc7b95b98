"""Gets a guest image ready before its first session: compiles or unpacks it, in a process of its own.

So the server never loads an engine (docs/design/0003, 6). Called by `service` when it starts.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from runtime.sandbox.errors import ProcessError
from runtime.sandbox.images import Image

log = logging.getLogger(__name__)


async def prepare(image: Image, folder: Path) -> tuple[str, ...]:
    """The program that starts sessions of `image`, with its first arguments. ProcessError if something is missing."""
    command = [sys.executable, "-m", *image.preparation, "--folder", str(folder)]
    log.info("preparing guest image", extra={"image": image.name, "folder": str(folder)})
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode != 0:
        raise ProcessError(err.decode(errors="replace").strip() or f"{command[2]} ended with {process.returncode}")
    return (*image.host, *out.decode().splitlines())
