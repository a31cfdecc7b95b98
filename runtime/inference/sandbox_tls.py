"""TLS towards the sandbox: the folder that WASM_TLS_DIR names, and what went wrong with a connection, in words.

Used by whoever makes a `SandboxClient`, and by the client's one seam for foreign errors.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import aiohttp

from runtime.inference.sandbox_servers import split_urls
from runtime.tls import TlsFolder, TlsFolderError
from runtime.tls_files import Side

VARIABLE: Final = "WASM_TLS_DIR"


def open_sandbox_tls(urls: str, folder: Path | None) -> TlsFolder | None:
    """None without a folder: then an https:// address is checked against the system's authorities.

    Raises TlsFolderError when the folder cannot be used, or would not be: the sandbox's key and all contexts would go
    over the network in plain text though somebody asked for TLS.
    """
    if folder is None:
        return None
    if plain := [url for url in split_urls(urls) if not url.startswith("https://")]:
        raise TlsFolderError(
            f"{VARIABLE}: it is set, but the sandbox's address is {', '.join(plain)}: say https:// there, or unset it"
        )
    return TlsFolder(VARIABLE, folder, Side.CLIENT)


def explain(url: str, error: Exception) -> str | None:
    """What to look at after a connection to `url` ended with `error`; None when TLS had no part in it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = error.certificate_error
        said = why.verify_message if isinstance(why, ssl.SSLCertVerificationError) else why
        return f"its certificate is not trusted: {said}; check ca.crt in {VARIABLE} and the host name of the address"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"TLS with it failed: {error}; check that it serves https://"
    if url.startswith("https://") and _was_closed(error):
        return (
            f"it closed the connection; if it asks for client certificates, look at tls.crt in {VARIABLE} and its log"
        )
    return None


def _was_closed(error: Exception) -> bool:
    """A server that refuses a client's certificate closes the connection, during the handshake or right after it."""
    return isinstance(error, aiohttp.ServerDisconnectedError) or isinstance(error.__cause__, ConnectionResetError)
