"""Prometheus' own promtool judges the rules: their syntax, and on which series each alert fires and rests."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import yaml

from rlm_operator.inputs import Inputs
from rlm_operator.monitored_installation import build_installation
from rlm_operator.objects.monitor import scrape_job
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from rlmctl.render import render_documents
from tests.controlplane.binaries import build, find
from tests.controlplane.programs import PROMTOOL
from tests.operator.alert_series import OPERATOR_SERIES, POOL_SERIES, STACK_SERIES, Pair, with_job
from tests.operator.specs import IMAGES, REPOSITORY, SAMPLES, build_pool, build_stack, load, one

INPUTS: Final = Inputs(images=IMAGES, served=frozenset({"PodMonitor", "PrometheusRule"}))
SERIES: Final[Mapping[str, Mapping[str, Pair]]] = {
    "stack": STACK_SERIES,
    "pool": POOL_SERIES,
    "operator": OPERATOR_SERIES,
}
RULES: Final[Mapping[str, Manifest]] = {
    "stack": one(render(build_stack(), INPUTS), "PrometheusRule"),
    "pool": one(render(build_pool(), INPUTS), "PrometheusRule"),
    "operator": one(build_installation(), "PrometheusRule"),
}
EVALUATED_MINUTES: Final = 40
"""After the longest `for` and with enough samples for every rate."""
ALERTS: Final = [(plane, name) for plane, pairs in SERIES.items() for name in pairs]


def run_promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = find(PROMTOOL) or build(PROMTOOL)
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=60, check=False)


def groups_of(rule: Manifest) -> Manifest:
    """As a Prometheus loads it: the Prometheus operator writes a PrometheusRule's groups into a file."""
    return {"groups": rule["spec"]["groups"]}


def rule_of(plane: str, name: str) -> Manifest:
    [rule] = [rule for group in groups_of(RULES[plane])["groups"] for rule in group["rules"] if rule["alert"] == name]
    return dict(rule)


def play(rule: Manifest, pair: Pair, folder: Path) -> subprocess.CompletedProcess[str]:
    """Fires on the one series and rests on the other; and does not fire before it has lasted."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "rules", "rules": [rule]}]}))
    job = scrape_job(rule["labels"]["namespace"], rule["labels"]["workload"])
    fired = {"exp_labels": {**rule["labels"], **pair.labels}, "exp_annotations": rule["annotations"]}
    lasting = int(rule["for"].removesuffix("m"))
    expected = {"fires": [(EVALUATED_MINUTES, [fired]), *([(lasting - 1, [])] if lasting else [])]}
    expected["rests"] = [(EVALUATED_MINUTES, [])]
    tests = [
        {
            "name": f"{rule['alert']} {ending}",
            "interval": "1m",
            "input_series": with_job(series, job),
            "alert_rule_test": [
                {"eval_time": f"{minutes}m", "alertname": rule["alert"], "exp_alerts": alerts}
                for minutes, alerts in expected[ending]
            ],
        }
        for ending, series in (("fires", pair.fires), ("rests", pair.rests))
    ]
    file = folder / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}))
    return run_promtool("test", "rules", str(file))


@pytest.mark.parametrize(("plane", "name"), ALERTS)
def test_an_alert_fires_on_the_one_series_and_rests_on_the_other(plane: str, name: str, tmp_path: Path) -> None:
    done = play(rule_of(plane, name), SERIES[plane][name], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("plane", SERIES)
def test_every_rendered_alert_has_such_a_pair_of_series(plane: str) -> None:
    rendered = [rule["alert"] for group in groups_of(RULES[plane])["groups"] for rule in group["rules"]]
    assert sorted(rendered) == sorted(SERIES[plane])


@pytest.mark.parametrize(
    ("expression", "seen"),
    [
        ('sum(rlm_operator_queue_depth{job="rlm-system/rlm-operator"}) > 101', "RLMOperatorQueueLong fires"),
        ('sum(rlm_operator_queue_depth{job="rlm-system/rlm-operator"}) > 99', "RLMOperatorQueueLong rests"),
        ('sum(rlm_operator_queue_depth{job="rlm-system/another"}) > 100', "RLMOperatorQueueLong fires"),
    ],
)
def test_a_wrong_expression_is_found(expression: str, seen: str, tmp_path: Path) -> None:
    name = "RLMOperatorQueueLong"
    done = play({**rule_of("operator", name), "expr": expression}, OPERATOR_SERIES[name], tmp_path)
    assert done.returncode != 0
    assert seen in done.stdout + done.stderr


def test_prometheus_takes_every_rendered_rule(tmp_path: Path) -> None:
    """Of every sample and of the installation itself."""
    rendered = {sample.stem: render_documents([sample], IMAGES, "team", served=INPUTS.served) for sample in SAMPLES}
    rendered["installation"] = load(REPOSITORY / "config" / "monitoring" / "monitoring.yaml")
    for name, documents in rendered.items():
        groups = [
            group for each in documents if each["kind"] == "PrometheusRule" for group in groups_of(each)["groups"]
        ]
        assert groups, name
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"groups": groups}))
    files = [str(file) for file in sorted(tmp_path.glob("*.yaml"))]
    done = run_promtool("check", "rules", "--lint=all", "--lint-fatal", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(files)


def test_a_rule_that_prometheus_would_not_take_is_found(tmp_path: Path) -> None:
    rule = {**rule_of("pool", "WASMQueueLong"), "expr": "avg(wasm_execution_queue_length > 10"}
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "rules", "rules": [rule]}]}))
    done = run_promtool("check", "rules", str(file))
    assert done.returncode != 0
    assert "could not parse expression" in done.stdout + done.stderr
