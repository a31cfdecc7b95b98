"""How the Prometheus operator of a cluster is told about a plane's pods, and who is alerted."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from rlm_operator.spec.base import Duration, SpecModel

_LABEL: Final = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


def _labels(value: dict[str, str]) -> dict[str, str]:
    if not all(len(key) <= 316 and _LABEL.fullmatch(key) for key in value):
        raise ValueError(
            "monitoring.labels has a key that is no label of Kubernetes: write keys such as release or example.com/team"
        )
    return value


def _interval(value: Duration) -> Duration:
    if not 5 <= value.seconds <= 600:
        raise ValueError("monitoring.interval must be from 5s to 10m: write a duration such as 30s")
    return value


class Monitoring(SpecModel):
    """`enabled` Auto: where the Prometheus operator's kinds are served. Always: also say so where they are not."""

    enabled: Literal["Auto", "Always", "Never"] = "Auto"
    labels: Annotated[dict[str, LabelValue], Field(max_length=16), AfterValidator(_labels)] = Field(
        default_factory=dict
    )
    interval: Annotated[Duration, AfterValidator(_interval)] = Duration("30s")
    alerts: bool = True
    runbook_url: Annotated[
        str | None, Field(alias="runbookURL", max_length=1024, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")
    ] = None
    dashboard: bool = False
