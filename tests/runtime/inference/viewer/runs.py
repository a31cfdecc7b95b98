"""Makes runs for the viewer to show."""

from __future__ import annotations

from typing import Any

from tests.runtime.inference.service import Service


async def begin(service: Service, question: str = "How many?", **body: Any) -> str:
    """A run in the background; its id."""
    asked = {"query": question, "background": True, **body}
    async with service.http.post(f"{service.url}/rlm/v1/runs", json=asked) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


async def ask(service: Service, question: str = "How many?", **body: Any) -> str:
    """A run to its end; its id."""
    run_id = await begin(service, question, **body)
    async with service.http.get(f"{service.url}/rlm/v1/runs/{run_id}/events") as response:
        await response.read()
    return run_id
