"""Fixtures of the tests that need `rlms` and `dspy`. They run in an environment of their own, where those are
installed: `tests/runtime/client/test_adapters.py` starts them there, beside a sandbox that the environment names."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.runtime.client.threaded_model import run_scripted_model
from tests.runtime.inference.scripted_model import ScriptedModel

collect_ignore_glob = [] if find_spec("rlm") else ["test_*.py"]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with run_scripted_model() as scripted:
        yield scripted


@pytest.fixture
def backend(model: ScriptedModel) -> dict[str, Any]:
    """What rlms is told of its model. Without retries, so that a script is used up as it was written."""
    return {"model_name": "root-model", "base_url": model.base_url, "api_key": "test", "max_retries": 0}
