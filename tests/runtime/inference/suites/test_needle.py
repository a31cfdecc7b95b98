"""S-NIAH at every power of two from 2^13 to 2^23 tokens: the exact number, and the same bill at every length."""

from __future__ import annotations

import io
from typing import Final

import pytest

from tests.runtime.inference.service import SERVED_MODEL, Service
from tests.runtime.inference.suites.asking import Expected, ask
from tests.runtime.inference.suites.haystack import LENGTHS, build_haystack

SEED: Final = 20261123
LOOK_SEARCH_ANSWER: Final = Expected(iterations=3)
MORE_TOKENS: Final = 120  # at most, than for the shortest context: a hint how to cut it, told in each of three turns


@pytest.mark.parametrize("tokens", LENGTHS)
async def test_needle_is_found_with_the_same_bill_at_every_length(service: Service, tokens: int) -> None:
    haystack = build_haystack(tokens, SEED)
    assert len(haystack.text) == tokens * 4
    done = await ask(service, haystack.question, haystack.text, LOOK_SEARCH_ANSWER)
    assert done.answer == haystack.number
    shortest = build_haystack(LENGTHS[0], SEED)
    least = await ask(service, shortest.question, shortest.text, LOOK_SEARCH_ANSWER)
    assert abs(done.usage.total_tokens - least.usage.total_tokens) <= MORE_TOKENS


async def test_needle_is_found_by_the_openai_sdk_in_a_message_and_in_a_file(service: Service) -> None:
    haystack = build_haystack(2**18, SEED)
    async with service.openai() as client:
        uploaded = await client.files.create(file=("hay.txt", io.BytesIO(haystack.text.encode())), purpose="user_data")
        for part in ({"type": "text", "text": haystack.text}, {"type": "file", "file": {"file_id": uploaded.id}}):
            reply = await client.chat.completions.create(
                model=SERVED_MODEL,
                messages=[{"role": "user", "content": [part, {"type": "text", "text": haystack.question}]}],  # type: ignore[list-item,misc]  # one of its part types
            )
            assert reply.choices[0].message.content == haystack.number
            assert reply.model_extra is not None
            assert (reply.model_extra["rlm"]["iterations"], reply.model_extra["rlm"]["sub_calls"]) == (3, 0)
