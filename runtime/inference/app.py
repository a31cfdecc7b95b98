"""Puts the inference service together: who owns what, for how long, and which path goes where.

Called by `__main__` and by the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from runtime.inference.admission import Admission, build_admission_middleware, set_rate_headers
from runtime.inference.audited_requests import build_audit_middleware
from runtime.inference.cancel_notes import CancelNotes
from runtime.inference.chat_api import ChatApi
from runtime.inference.encodings import encoding_middleware
from runtime.inference.engine import Engine
from runtime.inference.envelope import build_middleware, build_refuse
from runtime.inference.file_store import FileStore
from runtime.inference.files_api import FilesApi
from runtime.inference.hosting import Hosting
from runtime.inference.intake import INTAKE, Intake
from runtime.inference.models_api import ModelsApi
from runtime.inference.peers.conversations import RESPONSE_PATH, Conversations
from runtime.inference.peers.directory import IDENTITY_PATH, open_directory
from runtime.inference.peers.forwarding import Forwarding
from runtime.inference.peers.pages import Pages
from runtime.inference.peers.peer_api import PeerApi
from runtime.inference.peers.shelf import Shelf
from runtime.inference.peers.twins import TWIN_PATH, TWINS, Twins
from runtime.inference.presence import Presence
from runtime.inference.records_api import RecordsApi
from runtime.inference.replies import Pace
from runtime.inference.response_book import ResponseBook
from runtime.inference.responses_api import ResponsesApi
from runtime.inference.run_archive import RunArchive
from runtime.inference.run_catalog import RunCatalog
from runtime.inference.run_keeper import RunKeeper
from runtime.inference.runs_api import RunsApi
from runtime.inference.settings import InferenceSettings
from runtime.inference.storage import Storage
from runtime.inference.traced_requests import build_tracing_middleware
from runtime.inference.viewer_page import ViewerPage
from runtime.keyring import KeyRing
from runtime.tls import TlsFolder
from runtime.web import Listening, Operations, Server, request_id_middleware, set_request_id

BASE_PATHS: Final = ("/v1", "")
"""Clients are given base URLs with and without the version; LiteLLM's proxy answers both as well."""
SHUTDOWN_TIMEOUT: Final = 5.0
DEFAULT_PACE: Final = Pace()


def build_server(
    settings: InferenceSettings,
    engine: Engine,
    storage: Storage,
    keys: KeyRing | None,
    on_listening: Callable[[Listening], None] | None = None,
    pace: Pace = DEFAULT_PACE,
    tls: TlsFolder | None = None,
) -> Server:
    """The service, not yet listening. `keys` None: authentication is disabled. `tls` None: plain HTTP."""
    if tls is not None:
        engine.metrics.certificate_expiry.labels("server").set_function(tls.expires)
    limits = settings.limits_by_key
    admission = Admission(limits)
    presence = Presence(storage, pace.beat)
    archive = RunArchive(storage, presence, settings.storage_run_bytes)
    keeper = RunKeeper(archive, is_on=settings.store_runs)
    hosting = Hosting(engine, archive, keeper, admission)
    notes = CancelNotes(storage, presence, hosting)
    catalog = RunCatalog(hosting, archive, notes)
    viewer = ViewerPage()
    directory = open_directory(settings, storage.token, engine.metrics)
    app = web.Application(
        middlewares=[
            request_id_middleware,
            build_tracing_middleware(engine.tracing),
            build_audit_middleware(engine.audit),
            build_middleware(keys, engine.metrics, viewer.paths),
            build_admission_middleware(admission),
            encoding_middleware,
        ]
    )
    app.cleanup_ctx.extend([presence.while_serving, notes.while_serving])
    app.cleanup_ctx.extend([directory.http.while_serving, directory.while_serving])
    app[TWINS] = Twins(directory, hosting)
    app[INTAKE] = Intake(settings.max_body_bytes, pace.silence)
    app.on_response_prepare.extend([set_request_id, set_rate_headers])
    stored_files = FileStore(storage, settings.storage_max_bytes, limits, engine.audit)
    shelf, pages, book = Shelf(stored_files, directory), Pages(directory), ResponseBook(catalog)
    chat, runs = ChatApi(settings, hosting, shelf, pace), RunsApi(settings, hosting, shelf, pace)
    records = RecordsApi(catalog, pages, settings.admins, pace)
    files = FilesApi(stored_files, pages, settings.max_body_bytes)
    responses = ResponsesApi(settings, hosting, catalog, book, shelf, Conversations(directory), pace)
    among_replicas = PeerApi(storage.token, hosting, book)
    forwarding = Forwarding(directory)
    at_owner, at_twin = forwarding.at_owner, forwarding.at_twin
    models = ModelsApi(settings.served_model)
    for path in sorted(viewer.paths):
        app.router.add_get(path, viewer.get)
    app.router.add_post("/rlm/v1/runs", at_twin(runs.post_runs))
    app.router.add_get("/rlm/v1/runs", records.get_runs)
    app.router.add_get("/rlm/v1/runs/{id}", at_owner(records.get_run))
    app.router.add_get("/rlm/v1/runs/{id}/events", at_owner(records.get_events))
    app.router.add_post("/rlm/v1/runs/{id}/cancel", at_owner(records.post_cancel))
    app.router.add_get(IDENTITY_PATH, among_replicas.get_identity)
    app.router.add_get(TWIN_PATH, among_replicas.get_twin)
    app.router.add_get(f"{RESPONSE_PATH}{{id}}", among_replicas.get_response)
    for base in BASE_PATHS:
        app.router.add_post(f"{base}/chat/completions", at_twin(chat.post_chat_completions))
        app.router.add_post(f"{base}/responses", at_twin(responses.post_responses))
        app.router.add_get(f"{base}/responses/{{id}}", at_owner(responses.get_response))
        app.router.add_delete(f"{base}/responses/{{id}}", at_owner(responses.delete_response))
        app.router.add_post(f"{base}/responses/{{id}}/cancel", at_owner(responses.post_cancel))
        app.router.add_get(f"{base}/responses/{{id}}/input_items", at_owner(responses.get_input_items))
        app.router.add_post(f"{base}/files", files.post_files)
        app.router.add_get(f"{base}/files", files.get_files)
        app.router.add_get(f"{base}/files/{{id}}", at_owner(files.get_file))
        app.router.add_delete(f"{base}/files/{{id}}", at_owner(files.delete_file))
        app.router.add_get(f"{base}/files/{{id}}/content", at_owner(files.get_file_content))
        app.router.add_get(f"{base}/models", models.get_models)
        app.router.add_get(f"{base}/models/{{id:.+}}", models.get_model)

    def readiness() -> str | None:
        if hosting.draining:
            return "draining"
        # Whoever lets runs wait for a pool without pods must take the requests that wake it up.
        return None if settings.sandbox_start_timeout_seconds else engine.sandbox.watch.problem

    return Server(
        app=app,
        operations=Operations(engine.metrics.registry, readiness),
        host=settings.host,
        port=settings.port,
        metrics_port=settings.metrics_port,
        tls=tls.following_context() if tls is not None else None,
        drain=lambda: hosting.drain(pace.drain),
        shutdown_timeout=SHUTDOWN_TIMEOUT,
        cancel_on_disconnect=True,
        on_listening=on_listening,
        refuse=build_refuse(engine.metrics),
    )
