"""What requests to models carry beside the prompt, by which way they go and whom they trust."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import trustme
from aiohttp import web
from pydantic import ValidationError

from runtime.inference.llm import Completion, Models, SubCallFailure
from runtime.inference.metrics import Metrics
from runtime.inference.model_endpoint import ModelSettingError
from runtime.inference.prompts import Message, open_transcript
from runtime.inference.question import Question, TextContext
from runtime.inference.settings import InferenceSettings
from runtime.inference.tracing import Tracing
from tests.runtime.inference.inference_process import MINIMAL, finish, start
from tests.runtime.inference.scripted_model import build_completion

ASK = [Message(role="system", content="s"), Message(role="user", content="q")]


@dataclass
class Endpoint:
    """Answers every request as a model does, and keeps it: as an endpoint, or as the proxy on the way to one."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    requests: list[web.BaseRequest] = field(default_factory=list)
    port: int = 0
    runner: web.ServerRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> Self:
        self.runner = web.ServerRunner(web.Server(self._answer))
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.port = self.runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        assert self.runner is not None
        await self.runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.bodies.append(await request.json())
        self.requests.append(request)
        return web.json_response(build_completion("m", "r"))


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    started = await Endpoint().start()
    yield started
    await started.stop()


async def ask(settings: InferenceSettings) -> Completion | SubCallFailure:
    """A turn of the root model, then a sub-call."""
    models = Models(settings, Metrics(), Tracing())
    try:
        await models.ask_turn(ASK, settings.model_name, "root")
        return await models.ask_sub("p", None)
    finally:
        await models.close()


def settings_for(endpoint: Endpoint, **more: Any) -> InferenceSettings:
    return InferenceSettings(model_name="m", model_base_url=endpoint.url, **more)


async def test_extras_are_in_every_request_of_both_models(endpoint: Endpoint) -> None:
    await ask(
        settings_for(
            endpoint,
            sub_model_name="s",
            model_extra_headers='{"x-team": "search"}',
            model_extra_query='{"api-version": "7"}',
            model_extra_body='{"temperature": 0, "reasoning": {"effort": "low"}}',
        )
    )
    assert [request.headers["x-team"] for request in endpoint.requests] == ["search", "search"]
    assert [request.query_string for request in endpoint.requests] == ["api-version=7"] * 2
    assert [(body["model"], body["temperature"]) for body in endpoint.bodies] == [("m", 0), ("s", 0)]
    assert endpoint.bodies[0]["reasoning"] == {"effort": "low"}


async def test_a_sub_model_with_extras_of_its_own_has_those_in_place_of_the_roots(endpoint: Endpoint) -> None:
    await ask(
        settings_for(
            endpoint,
            sub_model_name="s",
            model_extra_body='{"temperature": 0}',
            model_extra_headers='{"x-team": "search"}',
            sub_model_extra_body='{"top_p": 1}',
            sub_model_extra_headers="{}",
        )
    )
    assert [("temperature" in body, "top_p" in body) for body in endpoint.bodies] == [(True, False), (False, True)]
    assert ["x-team" in request.headers for request in endpoint.requests] == [True, False]


async def test_another_endpoint_gets_nothing_that_was_meant_for_the_roots(endpoint: Endpoint) -> None:
    other = await Endpoint().start()
    await ask(
        settings_for(
            endpoint, sub_model_base_url=other.url, model_extra_headers='{"x-team": "search"}', sub_model_name="s"
        )
    )
    await other.stop()
    assert "x-team" in endpoint.requests[0].headers
    assert "x-team" not in other.requests[0].headers


async def test_requests_go_through_the_proxy_that_is_named(endpoint: Endpoint) -> None:
    await ask(
        InferenceSettings(
            model_name="m", model_base_url="http://llm.invalid/v1", model_proxy=f"http://127.0.0.1:{endpoint.port}"
        )
    )
    assert [request.raw_path for request in endpoint.requests] == ["http://llm.invalid/v1/chat/completions"] * 2


async def test_an_endpoint_is_trusted_by_the_named_authorities_and_by_no_others(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    for name, each in {"own": authority, "other": stranger}.items():
        each.cert_pem.write_to_path(str(tmp_path / name))
    endpoint = await Endpoint().start(served)
    url = f"https://127.0.0.1:{endpoint.port}/v1"
    trusting = InferenceSettings(model_name="m", model_base_url=url, model_ca_file=tmp_path / "own")
    assert isinstance(await ask(trusting), Completion)
    models = Models(trusting.model_copy(update={"model_ca_file": tmp_path / "other"}), Metrics(), Tracing())
    assert isinstance(await models.ask_sub("p", None), SubCallFailure)
    assert len(endpoint.requests) == 2  # those of the one that trusts it
    await models.close()
    await endpoint.stop()


async def test_a_bundle_without_certificates_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    settings = InferenceSettings(model_name="m", model_base_url="https://x/v1", model_ca_file=tmp_path / "ca.crt")
    with pytest.raises(ModelSettingError, match=r"ca\.crt holds no certificates in PEM form"):
        Models(settings, Metrics(), Tracing())


async def test_the_process_ends_with_the_variable_of_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    process = await start({**MINIMAL, "RLM_AUTH_MODE": "Disabled", "RLM_MODEL_CA_FILE": str(tmp_path / "absent")})
    code, _, errors = await finish(process)
    assert code == 2
    assert "RLM_MODEL_CA_FILE" in errors
    assert "absent holds no certificates" in errors


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("model_extra_body", '{"messages": []}', "the service sets messages by itself"),
        ("model_extra_headers", '{"x": 1}', "valid string"),
        ("model_extra_query", "nonsense", "Invalid JSON"),
        ("model_proxy", "proxy:3128", "is not an http:// or https:// address"),
        ("model_context_window", 10, "greater than or equal to 1000"),
    ],
)
def test_a_wrong_option_is_refused(name: str, value: object, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        InferenceSettings(model_name="m", model_base_url="http://x/v1", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ({}, 0),
        ({"model_context_window": 100_000}, 75_000),
        ({"model_context_window": 100_000, "compact_above_tokens": 0}, 0),
        ({"model_context_window": 100_000, "compact_above_tokens": 9}, 9),
    ],
    ids=["nothing known", "three quarters of the window", "never", "as said"],
)
def test_a_history_is_made_short_before_it_fills_the_models_window(given: dict[str, Any], tokens: int) -> None:
    assert InferenceSettings(model_name="m", model_base_url="http://x/v1", **given).compact_above == tokens


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ({"model_context_window": 9000}, 9000),
        ({"model_context_window": 9000, "sub_model_name": "s"}, None),
        ({"sub_model_context_window": 8000, "sub_model_name": "s"}, 8000),
    ],
    ids=["the root model answers", "another, of which nothing is said", "another"],
)
def test_what_sub_calls_can_read_is_the_window_of_the_model_that_answers(
    given: dict[str, Any], tokens: int | None
) -> None:
    assert InferenceSettings(model_name="m", model_base_url="http://x/v1", **given).sub_window == tokens


def test_the_root_model_is_told_what_sub_calls_can_read_and_to_cut_pieces_that_fit() -> None:
    question = Question(text="q", context=TextContext("x" * 100_000))
    usual, small = open_transcript(question), open_transcript(question, (), 8000)
    assert "about\n  24,000 characters" in small[0]["content"]
    assert "about 5 pieces" in small[1]["content"]
    assert "a few hundred\n  thousand characters" in usual[0]["content"]
    assert "pieces" not in usual[1]["content"]
