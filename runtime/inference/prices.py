"""What model calls cost: the price table of the settings, and a call's price by it.

Read by the settings; `llm.py` prices each reply with it, `budget.py` estimates with it what a prompt costs at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

_PER: Final = 1_000_000


class Price(BaseModel):
    """USD per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)


Prices = Mapping[str, Price]
"""By the model's name. A model that is not in it has no price."""

_TABLE: Final[TypeAdapter[dict[str, Price]]] = TypeAdapter(dict[str, Price])


def parse_prices(text: str) -> dict[str, Price]:
    """`{"model": {"input": 1.25, "output": 10}}`. Raises pydantic.ValidationError."""
    return _TABLE.validate_json(text)


def price_tokens(prices: Prices, model: str, prompt: int, completion: int = 0) -> float | None:
    """USD; None when the table has no price for the model."""
    price = prices.get(model)
    return None if price is None else (prompt * price.input + completion * price.output) / _PER
