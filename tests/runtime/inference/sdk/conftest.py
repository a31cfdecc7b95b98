"""Each test of this folder runs once for each SDK. The one for Node is installed by the first test that needs it; a
machine without Node says so at the end of the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.sandbox.pyodide.installation import InstallationError, find_node
from tests.runtime.inference.sdk.clients import AsyncPython, Sdk, SyncPython, Target
from tests.runtime.inference.sdk.gateway import Gateway, run_gateway
from tests.runtime.inference.sdk.node_client import NodeSdk, run_node
from tests.runtime.inference.service import API_KEY, Service


@pytest.fixture(scope="session")
def node_sdk() -> Iterator[NodeSdk]:
    try:
        find_node("the openai SDK for Node")
    except InstallationError as error:
        pytest.skip(str(error))
    with run_node() as running:
        yield running


@pytest.fixture(params=["async", "sync", "node"])
def sdk(request: pytest.FixtureRequest) -> Sdk:
    match request.param:
        case "async":
            return AsyncPython()
        case "sync":
            return SyncPython()
        case _:
            node: Sdk = request.getfixturevalue("node_sdk")
            return node


@pytest.fixture
def target(service: Service) -> Target:
    return Target(f"{service.url}/v1", API_KEY)


@pytest.fixture
async def gateway(service: Service) -> AsyncIterator[Gateway]:
    async with run_gateway(service.url) as running:
        yield running


@pytest.fixture
def through(gateway: Gateway) -> Target:
    """The service behind the gateway, for a client that has much patience left."""
    return Target(f"{gateway.url}/v1", API_KEY, retries=8)
