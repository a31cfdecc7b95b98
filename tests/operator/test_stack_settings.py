"""What a stack says of its models, budgets, keys, storage and traces, as the inference plane reads it back.

The rendered ConfigMap and variables are given to the plane's own settings class, so a wrong name, unit or form is seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlm_operator.errors import SpecInvalidError
from rlm_operator.render import render
from rlm_operator.resource import Manifest, Stack
from runtime.inference.key_limits import KeyLimits
from runtime.inference.model_settings import EndpointOptions
from runtime.inference.prices import Price
from runtime.inference.settings import InferenceSettings
from runtime.settings import variable_name
from tests.operator.setting_rules import ACCEPTED, PRICE, UNPRICED, model
from tests.operator.specs import INPUTS, build_stack, one

NOT_OF_THE_SPEC = {
    "tls_dir",
    # The same by OpenTelemetry's names.
    "otel_exporter_otlp_endpoint",
    "otel_exporter_otlp_traces_endpoint",
}
"""Settings that have no field in a stack of their own."""


def environment_of(stack: Stack) -> dict[str, str]:
    children = render(stack, INPUTS)
    data = one(children, "ConfigMap", f"{stack.identity.name}-rlm")["data"]
    [container] = one(children, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {
        entry["name"]: entry["value"] if "value" in entry else data[entry["valueFrom"]["configMapKeyRef"]["key"]]
        for entry in container["env"]
    }


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    def read_back(**spec: Any) -> InferenceSettings:
        for name, value in environment_of(build_stack(**spec)).items():
            monkeypatch.setenv(name, value)
        return InferenceSettings()

    return read_back


def volume(stack: Stack, name: str) -> Manifest | None:
    pod = one(render(stack, INPUTS), "Deployment")["spec"]["template"]["spec"]
    return next((each for each in pod["volumes"] if each["name"] == name), None)


def test_every_setting_of_the_inference_plane_is_rendered_for_some_stack() -> None:
    everything = {
        **model(
            apiKeySecretRef={"name": "llm"},
            extraHeaders={"x": "1"},
            extraQuery={"q": "1"},
            extraBody={"b": 1},
            caBundleRef={"name": "ca"},
            proxy="http://p:1",
            contextWindow=9000,
            price=PRICE,
        ),
        "rlm": {"maxTokens": 9, "maxCostUSD": 1, "allowedModels": ["m"], "compactAboveTokens": 9},
        "tools": {
            "allowedHosts": ["a.test"],
            "functions": [{"name": "find", "description": "d", "url": "https://a.test/"}],
        },
        "inference": {
            "servedModelName": "x",
            "adminKeys": ["a"],
            "keyLimits": {
                "requestsPerMinute": 1,
                "concurrentRuns": 1,
                "fileBytes": "1Mi",
                "exceptions": {"a": {"concurrentRuns": 0}},
            },
        },
        "storage": {
            "type": "ObjectStore",
            "objectStore": {"url": "s3://b", "endpoint": "http://s:1", "secretRef": {"name": "s3"}},
        },
        "tracing": {"otlpEndpoint": "http://c:4318"},
    }
    everything["subModel"] = {**everything["model"], "name": "m"}
    rendered = environment_of(build_stack(**everything))
    settings = {name: variable_name(InferenceSettings, name) for name in InferenceSettings.model_fields}
    assert {name for name, variable in settings.items() if variable not in rendered} == NOT_OF_THE_SPEC
    assert set(rendered) <= set(settings.values())


def test_defaults_of_the_stack_are_those_of_the_inference_plane(read: Any) -> None:
    """But for the audit log, which stacks have on."""
    rendered = read()
    plain = InferenceSettings(
        model_name="gpt-5",
        model_base_url="https://api.openai.com/v1",
        **rendered.model_dump(include={"host", "metrics_port", "api_keys_dir", "audit_log", "wasm_service_url"}),
        wasm_api_key_file=rendered.wasm_api_key_file,
    )
    assert rendered == plain


def test_what_a_model_says_of_its_requests_reaches_its_endpoint_options(read: Any) -> None:
    settings = read(**ACCEPTED["extras of a model"])
    assert settings.root_options == EndpointOptions(
        {"X-Team": "search"},
        {"api-version": "2025-01-01"},
        {"temperature": 0, "reasoning": {"effort": "low"}, "stop": ["a"]},
        Path("/etc/rlm/llm-ca/ca.crt"),
        "http://proxy.corp.test:3128",
    )
    assert settings.compact_above == 300_000


def test_a_sub_model_inherits_at_the_roots_endpoint_what_it_does_not_say_itself(read: Any) -> None:
    settings = read(
        **model(extraBody={"temperature": 0}, extraHeaders={"x-team": "a"}),
        subModel={"name": "s", "extraBody": {}, "contextWindow": 8000},
    )
    assert settings.sub_options(at_root_endpoint=True) == EndpointOptions({"x-team": "a"})
    assert settings.sub_window == 8000


def test_prices_of_all_models_are_one_table_and_money_is_bounded_by_it(read: Any) -> None:
    settings = read(**ACCEPTED["every model has a price"])
    assert settings.max_cost == 0.5
    assert settings.prices == {
        "m": Price(input=1.25, output=10),
        "s": Price(input=0, output=0.5),
        "other": Price(input=1.25, output=10),
    }


@pytest.mark.parametrize("cost", [0.000001, 0.1, 2, 1e6])
def test_an_amount_of_money_is_read_back_exactly(read: Any, cost: float) -> None:
    assert read(**model(price=PRICE), rlm={"maxCostUSD": cost}).max_cost == cost


@pytest.mark.parametrize("unpriced", UNPRICED)
def test_a_model_without_a_price_beside_others_is_refused(unpriced: str) -> None:
    with pytest.raises(SpecInvalidError, match="cost is counted when every model has a price"):
        build_stack(**UNPRICED[unpriced])


def test_fields_of_a_body_that_the_loop_sets_are_refused() -> None:
    with pytest.raises(SpecInvalidError, match="extraBody must not set model, messages, stream or n"):
        build_stack(**model(extraBody={"stream": True}))


def test_waits_and_switches_of_runs_are_read_back(read: Any) -> None:
    settings = read(
        rlm={
            "sandboxStartTimeout": "2m",
            "recoveryTimeout": "1500ms",
            "reuseAnswers": False,
            "maxChildRuns": 3,
            "compactAboveTokens": 0,
        }
    )
    assert (settings.sandbox_start_timeout_seconds, settings.recovery_seconds) == (120, 1.5)
    assert (settings.reuse_answers, settings.max_child_runs, settings.compact_above) == (False, 3, 0)


def test_limits_of_keys_are_read_back_and_zero_lifts_one(read: Any) -> None:
    settings = read(
        inference={
            "keyLimits": {
                "requestsPerMinute": 60,
                "concurrentRuns": 4,
                "fileBytes": "1Mi",
                "exceptions": {"alice": {"requestsPerMinute": 0, "fileBytes": "0"}, "bob": {"concurrentRuns": 9}},
            },
            "adminKeys": ["alice", "root"],
            "maxBodyBytes": "1Gi",
        }
    )
    limits = settings.limits_by_key
    assert limits.of("carol") == KeyLimits(requests_per_minute=60, concurrent_runs=4, file_bytes=2**20)
    assert limits.of("alice") == KeyLimits(concurrent_runs=4)
    assert limits.of("bob") == KeyLimits(requests_per_minute=60, concurrent_runs=9, file_bytes=2**20)
    assert settings.admins == {"alice", "root"}
    assert settings.max_body_bytes == 2**30


def test_a_claim_is_mounted_to_be_written_and_named_as_the_storage(read: Any) -> None:
    spec = ACCEPTED["a claim"]
    assert read(**spec).storage_url == "file:///var/lib/rlm"
    stack = build_stack(**spec)
    assert volume(stack, "data") == {"name": "data", "persistentVolumeClaim": {"claimName": "runs"}}
    [container] = one(render(stack, INPUTS), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "data", "mountPath": "/var/lib/rlm"} in container["volumeMounts"]


def test_a_bucket_has_its_address_in_the_settings_and_its_credentials_in_a_mounted_secret(read: Any) -> None:
    settings = read(**ACCEPTED["a bucket"])
    assert (settings.storage_url, settings.storage_endpoint) == ("s3://b/p", "http://minio:9000")
    assert settings.storage_config_dir == Path("/etc/rlm/storage")
    mounted = volume(build_stack(**ACCEPTED["a bucket"]), "storage-config")
    assert mounted is not None
    assert mounted["secret"]["secretName"] == "s3"


def test_bounds_of_the_storage_are_read_back(read: Any) -> None:
    settings = read(storage={"maxFileBytes": "1Mi", "maxRunBytes": "2Mi", "retention": "1h", "storeRuns": False})
    assert (settings.storage_max_bytes, settings.storage_run_bytes) == (2**20, 2**21)
    assert (settings.storage_retention_seconds, settings.store_runs) == (3600, False)


def test_traces_go_to_the_collector_with_content_when_asked(read: Any) -> None:
    settings = read(**ACCEPTED["traces with content"])
    assert settings.traces_endpoint == "http://collector.observability.svc:4318/v1/traces"
    assert settings.trace_content
