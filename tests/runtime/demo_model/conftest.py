from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.runtime.demo_model.standin import run_standin


@pytest.fixture(scope="package")
def base_url() -> Iterator[str]:
    with run_standin() as url:
        yield url


@pytest.fixture(scope="package")
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="none") as client:
        yield client
