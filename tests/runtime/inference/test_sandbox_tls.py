"""Inference plane and a sandbox that asks for client certificates, end to end; what is said when they do not fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme

from runtime.inference.errors import SandboxUnavailableError
from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.sandbox_tls import open_sandbox_tls
from runtime.tls import TlsFolderError
from tests.runtime.certificates import HOST, client_context, contents, issue, mount
from tests.runtime.inference.inference_process import running
from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox
from tests.runtime.inference.scripted_model import Gate, ScriptedModel
from tests.runtime.inference.service import API_KEY, write_keys
from tests.runtime.tls_server import serve

ANSWER = "```repl\nFINAL(llm_query('a') + str(len(context)))\n```"
RUNS = 6


@dataclass
class Stack:
    """A sandbox and an inference service as processes, both behind mutual TLS, and all folders of certificates."""

    folder: Path
    sandbox: SandboxProcess
    users: trustme.CA
    port: int = 0
    metrics_port: int = 0

    def client(self) -> aiohttp.ClientSession:
        """A user of the endpoint, with a certificate of today's authority."""
        context = client_context(self.users, issue(self.users, "user"))
        return aiohttp.ClientSession(
            f"https://{HOST}:{self.port}",
            connector=aiohttp.TCPConnector(ssl=context),
            headers={"Authorization": f"Bearer {API_KEY}"},
        )

    async def ask(self, http: aiohttp.ClientSession) -> str:
        async with http.post("/rlm/v1/runs", json={"query": "q", "context": "abc"}) as response:
            body = await response.json()
            assert response.status == 200, body
            return str(body["answer"])

    async def operations(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{self.metrics_port}{path}") as response:
            return response.status, await response.text()

    def trust(self, *pools: trustme.CA) -> None:
        """Both ends trust these authorities; the newest issues their certificates."""
        mount(self.folder / "sandbox", contents(issue(pools[-1]), *pools))
        mount(self.folder / "inference", contents(issue(pools[-1], "inference"), *pools))

    def rotate_users(self) -> None:
        self.users = trustme.CA()
        mount(self.folder / "users", contents(issue(self.users), self.users))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, SandboxProcess]]:
    folder = tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    mount(folder / "sandbox", contents(issue(authority), authority))
    mount(folder / "inference", contents(issue(authority, "inference"), authority))
    with run_sandbox(folder, SANDBOX_TLS_DIR=str(folder / "sandbox"), SANDBOX_METRICS_PORT="0") as process:
        yield folder, process


@pytest.fixture
async def stack(secured: tuple[Path, SandboxProcess], model: ScriptedModel, tmp_path: Path) -> AsyncIterator[Stack]:
    folder, sandbox = secured
    made = Stack(folder, sandbox, trustme.CA())
    made.rotate_users()
    environment = {
        "RLM_API_KEYS_DIR": str(write_keys(tmp_path / "keys", tester=API_KEY)),
        "RLM_METRICS_PORT": "0",
        "RLM_MODEL_BASE_URL": model.base_url,
        "RLM_TLS_DIR": str(folder / "users"),
        "WASM_SERVICE_URL": sandbox.url,
        "WASM_API_KEY_FILE": str(sandbox.key_file),
        "WASM_TLS_DIR": str(folder / "inference"),
    }
    async with running(environment) as (_, ports):
        made.port, made.metrics_port = ports["api"], ports["metrics"]
        yield made


async def test_runs_go_on_and_new_ones_begin_while_every_certificate_and_authority_is_rotated(
    stack: Stack, model: ScriptedModel
) -> None:
    gates = [asyncio.Event() for _ in range(RUNS)]
    old, new = trustme.CA(), trustme.CA()
    stack.trust(old)
    model.enqueue(*(Gate(gate, ANSWER) for gate in gates))
    async with stack.client() as http:
        runs = [asyncio.create_task(stack.ask(http)) for _ in gates]
        await model.until(lambda scripted: len(scripted.root_calls) == RUNS)
        stack.trust(old, new)
        stack.trust(new)
        stack.rotate_users()
        for gate in gates:
            gate.set()
        assert await asyncio.gather(*runs) == ["re: a3"] * RUNS
    model.enqueue(*[ANSWER] * RUNS)
    async with stack.client() as http:
        assert await asyncio.gather(*(stack.ask(http) for _ in range(RUNS))) == ["re: a3"] * RUNS


async def test_each_ends_expiry_is_a_metric(stack: Stack) -> None:
    status, text = await stack.operations("/metrics")
    assert status == 200
    lines = [line for line in text.splitlines() if line.startswith("tls_certificate_expiration_timestamp_seconds{")]
    assert {line.partition("{")[2].partition("}")[0] for line in lines} == {'role="client"', 'role="server"'}


async def refusal(url: str, folder: Path) -> str:
    """What a client with the certificates of `folder` says about the sandbox at `url`."""
    tls = open_sandbox_tls(url, folder)
    assert tls is not None
    client = SandboxClient(url, tls=tls.following_context())
    try:
        with pytest.raises(SandboxUnavailableError) as refused:
            await client.touch([])
        return str(refused.value)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("issuer", "name", "expired", "said"),
    [
        ("other", HOST, False, "not trusted: unable to get local issuer certificate; check ca.crt in WASM_TLS_DIR"),
        ("trusted", "sandbox.test", False, "not trusted: IP address mismatch, certificate is not valid for"),
        ("trusted", HOST, True, "not trusted: certificate has expired"),
    ],
)
async def test_sandbox_whose_certificate_is_not_trusted_is_unavailable_and_the_error_says_why(
    tmp_path: Path, issuer: str, name: str, expired: bool, said: str
) -> None:
    authorities = {"trusted": trustme.CA(), "other": trustme.CA()}
    ours = mount(tmp_path / "ours", contents(None, authorities["trusted"]))
    theirs = mount(tmp_path / "theirs", contents(issue(authorities[issuer], name, expired=expired)))
    async with serve(theirs) as server:
        assert said in await refusal(f"https://{HOST}:{server.port}", ours)


@pytest.mark.parametrize("certificate", ["none", "foreign"])
async def test_sandbox_that_refuses_our_certificate_is_unavailable_and_the_error_says_where_to_look(
    tmp_path: Path, certificate: str
) -> None:
    pool, other = trustme.CA(), trustme.CA()
    ours = mount(tmp_path / "ours", contents(None if certificate == "none" else issue(other, "inference"), pool))
    theirs = mount(tmp_path / "theirs", contents(issue(pool), pool))
    async with serve(theirs) as server:
        assert "look at tls.crt in WASM_TLS_DIR" in await refusal(f"https://{HOST}:{server.port}", ours)


async def test_plain_http_behind_an_https_address_is_unavailable_and_the_error_says_so(
    model: ScriptedModel, tmp_path: Path
) -> None:
    ours = mount(tmp_path / "ours", contents(None, trustme.CA()))
    assert "check that it serves https://" in await refusal(model.base_url.replace("http:", "https:"), ours)


def test_certificates_for_a_plain_address_are_an_error(tmp_path: Path) -> None:
    ours = mount(tmp_path / "ours", contents(None, trustme.CA()))
    with pytest.raises(TlsFolderError, match=r"WASM_TLS_DIR: .* http://sandbox:8000"):
        open_sandbox_tls("http://sandbox:8000", ours)
