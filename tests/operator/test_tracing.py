"""Traces of the operator: a pass with its requests, sent to a real collector, nothing in them but names."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlm_operator.cluster import Access, open_cluster
from rlm_operator.errors import RefusedError
from rlm_operator.kinds import Ref
from rlm_operator.logs import logged_for
from rlm_operator.tracing import Tracing, current_trace_id, end_pass, open_tracing
from tests.operator.scripted_api import ScriptedApi, write_kubeconfig
from tests.runtime.inference.trace_collector import TraceCollector

STACK = Ref("RLMStack", "team", "demo")
SECRET = "/api/v1/namespaces/team/secrets/llm"


async def run_pass(tracing: Tracing, folder: Path, result: str) -> None:
    """A pass that reads a Secret, and a ConfigMap that is refused."""
    api = ScriptedApi()
    api.answer("GET", SECRET, {"data": {"api-key": "c2stc2VjcmV0"}})
    api.answer("GET", "/api/v1/namespaces/team/configmaps/demo", {"message": "sk-quoted", "reason": "Forbidden"}, 403)
    server = await api.start()
    token = folder / "token"
    token.write_text("sk-token")
    cluster = await open_cluster(Access(write_kubeconfig(folder / "config", str(server.make_url("")), token)), tracing)
    try:
        await cluster.fetch(Ref("Secret", "team", "llm"))  # between passes
        with logged_for(STACK) as fields, tracing.reconcile(STACK.kind, fields) as span:
            await cluster.fetch(Ref("Secret", "team", "llm"))
            with pytest.raises(RefusedError):
                await cluster.fetch(Ref("ConfigMap", "team", "demo"))
            end_pass(span, result)
    finally:
        await cluster.close()
        await server.close()


async def test_a_pass_is_a_span_with_its_requests_below_it_and_no_content(tmp_path: Path) -> None:
    collector = await TraceCollector().start()
    async with open_tracing(collector.endpoint) as tracing:
        await run_pass(tracing, tmp_path, "synced")
    [root] = collector.named("reconcile RLMStack")
    assert root.attributes["rlm.stack"] == "demo"
    assert root.attributes["k8s.namespace.name"] == "team"
    assert root.attributes["rlm.reconcile.result"] == "synced"
    requests = {span.name: span for span in collector.children(root)}
    assert requests.keys() == {"GET secrets", "GET configmaps"}
    assert requests["GET secrets"].attributes["url.path"] == SECRET
    assert [requests[name].failed for name in ("GET secrets", "GET configmaps")] == [False, True]
    assert len(collector.spans) == 3, "what happens between passes is in no trace"
    for content in (b"c2stc2VjcmV0", b"sk-"):
        assert content not in collector.raw
    assert collector.resource["service.name"] == "rlm-operator"
    await collector.stop()


async def test_a_pass_that_fails_is_a_failed_span(tmp_path: Path) -> None:
    collector = await TraceCollector().start()
    async with open_tracing(collector.endpoint) as tracing:
        await run_pass(tracing, tmp_path, "failed")
    assert collector.named("reconcile RLMStack")[0].failed
    await collector.stop()


async def test_without_an_endpoint_nothing_is_recorded(tmp_path: Path) -> None:
    async with open_tracing(None) as tracing:
        await run_pass(tracing, tmp_path, "synced")
        with tracing.reconcile("RLMStack", {}):
            assert current_trace_id() is None


@pytest.mark.parametrize(
    ("variable", "suffix"), [("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces")]
)
async def test_opentelemetrys_own_variables_switch_traces_on(
    monkeypatch: pytest.MonkeyPatch, variable: str, suffix: str
) -> None:
    collector = await TraceCollector().start()
    monkeypatch.setenv(variable, collector.endpoint + suffix)
    async with open_tracing(None) as tracing:
        with tracing.reconcile("SandboxPool", {"pool": "p"}):
            pass
    assert [span.name for span in collector.spans] == ["reconcile SandboxPool"]
    await collector.stop()


async def test_the_setting_wins_over_opentelemetrys_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, other = await TraceCollector().start(), await TraceCollector().start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", other.endpoint)
    async with open_tracing(wanted.endpoint) as tracing:
        with tracing.reconcile("SandboxPool", {"pool": "p"}):
            pass
    assert (len(wanted.spans), len(other.spans)) == (1, 0)
    for collector in (wanted, other):
        await collector.stop()


@pytest.mark.parametrize("variables", [{"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}])
async def test_opentelemetrys_variables_can_also_keep_traces_off(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **variables}.items():
        monkeypatch.setenv(name, value)
    async with open_tracing(None) as tracing:
        with tracing.reconcile("RLMStack", {}):
            assert current_trace_id() is None


async def test_the_trace_of_a_pass_is_known_inside_it_alone() -> None:
    collector = await TraceCollector().start()
    async with open_tracing(collector.endpoint) as tracing:
        with tracing.reconcile("SandboxPool", {"pool": "p"}):
            trace = current_trace_id()
    assert collector.spans[0].trace == trace
    assert current_trace_id() is None
    await collector.stop()
