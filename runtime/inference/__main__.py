"""`python -m runtime.inference`: the inference service, with its settings from the environment."""

from __future__ import annotations

import asyncio
import logging
import sys

from runtime.collector import spare_what_stays
from runtime.inference.app import build_server
from runtime.inference.engine import open_engine
from runtime.inference.metrics import Metrics
from runtime.inference.model_endpoint import ModelSettingError
from runtime.inference.settings import InferenceSettings
from runtime.inference.storage import StorageSettingError, open_storage
from runtime.inference.tools.toolbox import ToolFileError
from runtime.keyring import KeyFolderError, KeyRing
from runtime.logs import configure_logging
from runtime.redaction import redact
from runtime.settings import USAGE_ERROR, load_settings
from runtime.tls import TlsFolder, TlsFolderError
from runtime.tls_files import Side

PROGRAM = "runtime.inference"

log = logging.getLogger(PROGRAM)


def main(argv: list[str]) -> int:
    settings = load_settings(InferenceSettings, PROGRAM, argv)
    configure_logging(settings.log_level, settings.log_format)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # one line per model call otherwise
    logging.getLogger("openai").setLevel(logging.WARNING)
    keys = None if settings.auth_mode == "Disabled" else KeyRing(settings.api_keys_dir)
    try:
        if keys is not None:
            keys.require_keys()
    except KeyFolderError as error:
        sys.stderr.write(f"{PROGRAM}: RLM_API_KEYS_DIR: {error} (RLM_AUTH_MODE)\n")
        return USAGE_ERROR
    try:
        tls = TlsFolder("RLM_TLS_DIR", settings.tls_dir, Side.SERVER) if settings.tls_dir else None
        asyncio.run(_serve(settings, keys, tls))
    except TlsFolderError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return USAGE_ERROR
    except StorageSettingError as error:
        sys.stderr.write(f"{PROGRAM}: RLM_STORAGE_URL: {redact(str(error))} (RLM_STORAGE_CONFIG_DIR)\n")
        return USAGE_ERROR
    except ModelSettingError as error:
        sys.stderr.write(f"{PROGRAM}: RLM_MODEL_CA_FILE: {error} (RLM_SUB_MODEL_CA_FILE)\n")
        return USAGE_ERROR
    except ToolFileError as error:
        sys.stderr.write(f"{PROGRAM}: RLM_TOOLS_FILE: {error}\n")
        return USAGE_ERROR
    except OSError as error:
        log.error("cannot listen on %s:%d: %s", settings.host, settings.port, error)  # noqa: TRY400  # no defect
        return 1
    return 0


async def _serve(settings: InferenceSettings, keys: KeyRing | None, tls: TlsFolder | None) -> None:
    async with (
        open_storage(
            settings.storage_url,
            settings.storage_config_dir,
            settings.storage_retention_seconds,
            settings.storage_endpoint,
        ) as storage,
        open_engine(settings, Metrics()) as engine,
    ):
        server = build_server(settings, engine, storage, keys, tls=tls)
        spare_what_stays()
        await server.serve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
