"""The only door to language models: root calls and sub-calls through the openai SDK.

One `Models` per process, owned by the application. Connections are pooled per endpoint, the SDK retries with backoff
and honours Retry-After, one semaphore caps the calls in flight over all runs, and redirects are not followed (a
redirect would carry the key elsewhere). A provider's own words can hold partial keys and internal addresses: they are
neither shown to code nor put into replies; the log gets status and error code.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import openai

from runtime.inference.errors import ModelError
from runtime.inference.metrics import Metrics
from runtime.inference.model_endpoint import Endpoint
from runtime.inference.prices import Prices, price_tokens
from runtime.inference.prompts import Message
from runtime.inference.settings import InferenceSettings
from runtime.inference.tracing import Tracing
from runtime.inference.usage import Usage

_NOT_WORTH_A_RETRY: Final = frozenset({400, 401, 403, 404, 422})

Role = Literal["root", "child", "sub"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Completion:
    text: str
    usage: Usage


@dataclass(frozen=True)
class SubCallFailure:
    """What code sees instead of an answer; from the closed list in `_describe_failure`."""

    message: str


class Models:
    """Root model and sub-models of one process."""

    def __init__(self, settings: InferenceSettings, metrics: Metrics, tracing: Tracing) -> None:
        self._settings = settings
        self._metrics = metrics
        self._tracing = tracing
        self._slots = asyncio.Semaphore(settings.max_concurrency)
        self._root = Endpoint(settings.model_base_url, settings.model_api_key_file, settings.root_options)
        self._sub = self._build_sub_endpoint(settings)

    def _build_sub_endpoint(self, settings: InferenceSettings) -> Endpoint:
        url = settings.sub_model_base_url or settings.model_base_url
        same_url = url == settings.model_base_url
        key_file = settings.sub_model_api_key_file or (settings.model_api_key_file if same_url else None)
        options = settings.sub_options(at_root_endpoint=same_url)
        if same_url and key_file == settings.model_api_key_file and options == settings.root_options:
            return self._root
        return Endpoint(url, key_file, options)

    @property
    def sub_model(self) -> str:
        """What `llm_query` asks when code names no model."""
        return self._settings.sub_model

    @property
    def sub_window(self) -> int | None:
        """Tokens that the sub-model takes at once, if that is known."""
        return self._settings.sub_window

    def refuse(self, model: str) -> str | None:
        """Why code may not name this model; None when it may."""
        if model in self._settings.sub_models:
            return None
        return f"model {model[:100]!r} is not one of: {', '.join(sorted(self._settings.sub_models))}"

    async def ask_turn(self, messages: Sequence[Message], model: str, role: Literal["root", "child"]) -> Completion:
        """The next turn of a run's own model. Raises ModelError when the endpoint keeps failing."""
        endpoint = self._root if model == self._settings.model_name else self._sub
        try:
            return await self._ask(endpoint, role, model, messages)
        except openai.OpenAIError as error:
            status = error.status_code if isinstance(error, openai.APIStatusError) else None
            raise ModelError(
                f"the model {model!r} gave no answer: {_describe_failure(error)}; "
                "see the log of the inference service for the endpoint's status and error code",
                retry=False if status in _NOT_WORTH_A_RETRY else None,
            ) from error

    async def ask_sub(self, prompt: str, model: str | None) -> Completion | SubCallFailure:
        """One plain completion for `llm_query`. Never raises for what the endpoint does."""
        name = model or self._settings.sub_model
        if (refusal := self.refuse(name)) is not None:
            return SubCallFailure(refusal)
        try:
            return await self._ask(self._endpoint_of(name), "sub", name, [Message(role="user", content=prompt)])
        except openai.OpenAIError as error:
            return SubCallFailure(_describe_failure(error))

    def _endpoint_of(self, model: str) -> Endpoint:
        """The root model keeps its own endpoint, also when code asks for it by name."""
        is_root = model == self._settings.model_name and model != self._settings.sub_model
        return self._root if is_root else self._sub

    async def _ask(self, endpoint: Endpoint, role: Role, model: str, messages: Sequence[Message]) -> Completion:
        with self._metrics.llm_queue.track_inprogress():
            await self._slots.acquire()
        try:
            with (
                self._metrics.llm_call(model, role) as call,
                self._tracing.model_call(model, role, endpoint.base_url, messages) as span,
            ):
                try:
                    reply = await endpoint.complete(model, messages)
                    completion = _read_reply(reply, endpoint.redact, model, self._settings.prices)
                except openai.OpenAIError as error:
                    _log_failure(error, model, role)
                    raise
                call.succeeded(completion.usage)
                span.succeeded(completion.text, completion.usage)
                return completion
        finally:
            self._slots.release()

    async def close(self) -> None:
        for endpoint in {self._root, self._sub}:
            await endpoint.close()


def _read_reply(reply: object, redact: Callable[[str], str], model: str, prices: Prices) -> Completion:
    """Nobody has checked what the endpoint sent, so it may be anything. Lone surrogates, which JSON allows, have no
    UTF-8 form."""
    match reply:
        case {"choices": [{"message": dict(message)}, *_], **others} if isinstance(message.get("content"), str | None):
            content = message.get("content") or ""
        case _:
            raise openai.OpenAIError("the reply is no chat completion with a choice")
    prompt_tokens, completion_tokens = _count_tokens(others.get("usage"))
    return Completion(
        text=redact(content.encode("utf-8", "replace").decode("utf-8")),
        usage=Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=prompt_tokens + completion_tokens,
            cost=price_tokens(prices, model, prompt_tokens, completion_tokens),
        ),
    )


def _count_tokens(usage: object) -> tuple[int, int]:
    """Of the prompt and of the completion; zero where the endpoint did not say."""
    match usage:
        case dict():
            said = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
            prompt, completion = (tokens if isinstance(tokens, int) and tokens > 0 else 0 for tokens in said)
            return prompt, completion
        case _:
            return 0, 0


def _describe_failure(error: openai.OpenAIError) -> str:
    """A closed list: classes and statuses only."""
    match error:
        case openai.APITimeoutError():
            return "the model did not answer in time"
        case openai.APIConnectionError():
            return "the model's endpoint could not be reached"
        case openai.RateLimitError():
            return "the model's rate limit was reached (HTTP 429)"
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return f"the model's endpoint refused the key (HTTP {error.status_code})"
        case openai.NotFoundError():
            return "the model does not exist at its endpoint (HTTP 404)"
        case openai.APIStatusError(status_code=status) if status == 413 or _is_too_long(error):
            return f"the prompt is too long for the model (HTTP {status})"
        case openai.APIStatusError(status_code=status) if status < 500:
            return f"the model's endpoint refused the request (HTTP {status})"
        case openai.APIStatusError(status_code=status):
            return f"the model's endpoint failed (HTTP {status})"
        case _:
            return "the model's answer could not be read"


def _is_too_long(error: openai.APIStatusError) -> bool:
    return error.code == "context_length_exceeded"


def _log_failure(error: openai.OpenAIError, model: str, role: Role) -> None:
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    code = error.code if isinstance(error, openai.APIError) else None
    log.warning(
        "llm call failed",
        extra={
            "model": model,
            "role": role,
            "failure": type(error).__name__,
            "status": status,
            "code": code if code and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", str(code)) else None,
        },
    )
