"""Durations, quantities and addresses: what is understood, and what is refused with a form to follow."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rlm_operator.spec.base import Duration, Quantity
from rlm_operator.spec.stack import RLMStackSpec
from tests.operator.specs import PROPERTY


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", "30"), ("15m", "900"), ("1h30m", "5400"), ("500ms", "0.5"), ("1h", "3600")]
)
def test_a_duration_is_its_seconds(text: str, seconds: str) -> None:
    assert Duration(text).seconds_text == seconds


@pytest.mark.parametrize("text", ["", "30", "1d", "1h 30m", "-1s", "1.5s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValidationError, match="is not a duration; write for example"):
        TypeAdapter(Duration).validate_python(text)


@PROPERTY
@given(hours=st.integers(0, 99), minutes=st.integers(0, 99), seconds=st.integers(0, 99))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert Duration(f"{hours}h{minutes}m{seconds}s").seconds == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize(
    ("text", "value"), [("1Gi", 2**30), ("256Mi", 2**28), ("1500M", 1500 * 10**6), ("2", 2), ("500m", Decimal("0.5"))]
)
def test_a_quantity_is_its_value(text: str, value: Decimal) -> None:
    assert Quantity(text).value == value


@pytest.mark.parametrize("text", ["", "1Ti!", "Gi", "-1", "1 Gi"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValidationError, match="is not a quantity; write for example"):
        TypeAdapter(Quantity).validate_python(text)


@pytest.mark.parametrize("url", ["http://::", "http://[::", "https://host:70000", "https://host:0", "https://host:x"])
@pytest.mark.parametrize("field", [("model", "baseURL"), ("model", "proxy"), ("tracing", "otlpEndpoint")])
def test_an_address_whose_host_or_port_can_not_be_read_is_refused_with_an_example(
    field: tuple[str, str], url: str
) -> None:
    part, name = field
    spec = {"model": {"name": "m", "baseURL": "https://model.example"}}
    spec[part] = {**spec.get(part, {}), name: url}
    with pytest.raises(ValidationError, match="no host or port that can be read: write for example"):
        RLMStackSpec.model_validate(spec)
