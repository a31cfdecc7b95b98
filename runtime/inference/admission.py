"""Holds each key to its requests a minute and its runs at a time.

Put between the envelope and the handlers by `app.py`; `hosting.py` asks before it begins a run. Every process counts on
its own, so N replicas admit N times as much.

The requests fill a bucket that empties steadily, as OpenAI's do (`x-ratelimit-reset-requests` is the time until it is
empty again). The libraries that there are count windows instead, where a client that is refused waits for the end of
one, and keep a thread or a list of times for each; a bucket is one number for each key.

A request that was refused here, or for its body, has had no run. Its retry must not be given the run of an equal
question (`joining.py`), so as many retries of a key and route as were refused lately count as first attempts.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from runtime.inference.envelope import KEY_NAME
from runtime.inference.errors import BusyError, RateLimitedError, SlowBodyError
from runtime.inference.key_limits import LimitsByKey

MINUTE: Final = 60.0
RUN_RETRY_AFTER: Final = 5
"""Seconds. When a run ends is not known; the SDK's own waits, of half a second, would be over too soon."""
MOST_REMEMBERED: Final = 1000
"""Refusals of a key and route; who had more within a minute is not told apart from who repeats."""
RETRY_HEADER: Final = "x-stainless-retry-count"
IS_RETRY: Final = web.RequestKey("is_retry", bool)
"""Of a POST: whether it repeats one that had a run. The SDK counts its retries of refused ones too."""
_CANCEL: Final = "/cancel"
_ROUNDING: Final = 1e-6  # seconds, or requests

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Standing:
    """Where a key stands after a request: what is left of `limit`, and the seconds until all of it is."""

    limit: int
    remaining: int
    reset: float

    def headers(self) -> dict[str, str]:
        """OpenAI's, which its clients and LiteLLM read."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": format_duration(self.reset),
        }


_STANDING: Final = web.RequestKey("rate_standing", Standing)


class Admission:
    """Owned by the application. `clock` gives seconds that never go back."""

    def __init__(self, limits: LimitsByKey, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._refused: defaultdict[tuple[str, str], deque[float]] = defaultdict(_remember)
        self._empty_at: dict[str, float] = {}  # by key: when its bucket will have emptied
        self._runs: Counter[str] = Counter()

    def admit_request(self, key_name: str) -> tuple[Standing | None, float]:
        """Count one request. Its standing, and the seconds after which a refused one would pass; 0: it is admitted.

        None: the key has no limit."""
        limit = self._limits.of(key_name).requests_per_minute
        if limit is None:
            return None, 0.0
        now, each = self._clock(), MINUTE / limit
        empty_at = max(now, self._empty_at.get(key_name, now))
        too_soon = empty_at + each - (now + MINUTE)
        if too_soon > _ROUNDING:
            return Standing(limit, 0, empty_at - now), too_soon
        self._empty_at[key_name] = empty_at + each
        reset = empty_at + each - now
        return Standing(limit, max(0, math.floor((MINUTE - reset) / each + _ROUNDING)), reset), 0.0

    def note_refusal(self, key_name: str, route: str) -> None:
        """A request ended before it had a run; its retry is still to have one."""
        self._refused[key_name, route].append(self._clock())

    def forgive_refusal(self, key_name: str, route: str) -> bool:
        """Whether a retry may be that of a request that never had a run: as often as there were such lately."""
        refused = self._refused[key_name, route]
        while refused and refused[0] < self._clock() - MINUTE:
            refused.popleft()
        if refused:
            refused.popleft()
            return True
        del self._refused[key_name, route]
        return False

    def begin_run(self, key_name: str) -> None:
        """Raises RateLimitedError. Each run that was begun is ended by `end_run`."""
        limit = self._limits.of(key_name).concurrent_runs
        if limit is not None and self._runs[key_name] >= limit:
            raise RateLimitedError(
                f"the key {key_name!r} has {limit} of {limit} runs in progress; wait for one to end or cancel one",
                "concurrent_runs",
                RUN_RETRY_AFTER,
            )
        self._runs[key_name] += 1

    def end_run(self, key_name: str) -> None:
        self._runs[key_name] -= 1


def build_admission_middleware(admission: Admission) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Inside the envelope, which knows the key. Only POST counts: it begins work; reading and deleting do not."""

    @web.middleware
    async def admission_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        key_name = request.get(KEY_NAME)
        if key_name is None or request.method != "POST" or request.path.endswith(_CANCEL):
            return await handler(request)
        route = request.match_info.route.resource
        asked = "" if route is None else route.canonical
        request[IS_RETRY] = _is_retry(request) and not admission.forgive_refusal(key_name, asked)
        try:
            _admit(admission, request, key_name)
            return await handler(request)
        except (RateLimitedError, BusyError, SlowBodyError):
            if not request[IS_RETRY]:
                admission.note_refusal(key_name, asked)
            raise

    return admission_middleware


def _remember() -> deque[float]:
    return deque(maxlen=MOST_REMEMBERED)


def _is_retry(request: web.Request) -> bool:
    return request.headers.get(RETRY_HEADER, "0") not in {"", "0"}


def _admit(admission: Admission, request: web.Request, key_name: str) -> None:
    """Raises RateLimitedError."""
    standing, wait = admission.admit_request(key_name)
    if standing is None:
        return
    request[_STANDING] = standing
    if wait > 0:
        raise RateLimitedError(
            f"the key {key_name!r} sent {standing.limit} requests within a minute, which is its limit; "
            f"try again in {format_duration(wait)}",
            "requests",
            math.ceil(wait),
        )


async def set_rate_headers(request: web.Request, response: web.StreamResponse) -> None:
    """An on_response_prepare signal handler, so that streams carry them too."""
    standing = request.get(_STANDING)
    if standing is not None:
        response.headers.update(standing.headers())


def format_duration(seconds: float) -> str:
    """As OpenAI writes it: `12ms`, `1s`, `1.5s`, `6m0s`."""
    milliseconds = math.ceil(seconds * 1000 - _ROUNDING)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    shown = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{shown}" if minutes else shown
