"""What a run is told of a tool: the root model in its prompt, the session when it begins. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ToolOffer:
    name: str
    description: str
    schema_text: str  # JSON schema of the arguments
