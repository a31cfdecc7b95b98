"""What the inference plane says of itself: the settings of its audit log and its traces.

The base of `InferenceSettings`, which checks the addresses.
"""

from __future__ import annotations

from pydantic import AliasChoices, Field

from runtime.settings import ServiceSettings


class SignalSettings(ServiceSettings):
    """Read with the prefix of the class that derives from it."""

    audit_log: bool = Field(False, description="whether who asked what, and for which files, goes to stdout")
    otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP collector that traces are sent to, such as http://collector:4318; unset: none"
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("otel_exporter_otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="the same by OpenTelemetry's name; its other OTEL_ variables are read too",
    )
    otel_exporter_otlp_traces_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("otel_exporter_otlp_traces_endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        description="the whole address for traces",
    )
    trace_content: bool = Field(False, description="whether traces have prompts, answers, code and its output")

    @property
    def traces_endpoint(self) -> str | None:
        """Where traces are sent; None: nowhere."""
        base = self.otlp_endpoint or self.otel_exporter_otlp_endpoint
        if self.otlp_endpoint is None and self.otel_exporter_otlp_traces_endpoint is not None:
            return self.otel_exporter_otlp_traces_endpoint
        return None if base is None else f"{base}/v1/traces"
