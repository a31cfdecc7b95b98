"""Label keys and values as Kubernetes accepts them, for every part of a spec that is written into a pod."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PART: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"

LABEL_KEY: Final = f"^({_PART}([.]{_PART})*/)?{_NAME}$"

LabelKey = Annotated[str, Field(max_length=316, pattern=LABEL_KEY)]
"""With or without a prefix, such as `kubernetes.io/arch` or `disk`."""
LabelValue = Annotated[str, Field(max_length=63, pattern=f"^({_NAME})?$")]
