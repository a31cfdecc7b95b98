"""The README's kubectl commands, in their order: what a newcomer types."""

from __future__ import annotations

import re
import shlex

from tests.operator.integration.samples import REPOSITORY
from tests.operator.integration.tenant import Tenant

COMMAND = re.compile(r"^    kubectl (.*)$", re.MULTILINE)


def read_commands() -> list[list[str]]:
    """Arguments of each kubectl command, without comments; files as absolute paths."""
    lines = COMMAND.findall((REPOSITORY / "README.md").read_text())
    return [[absolute(part) for part in shlex.split(line, comments=True)] for line in lines]


def absolute(part: str) -> str:
    return str(REPOSITORY / part) if "/" in part and (REPOSITORY / part).exists() else part


def test_the_readmes_commands_bring_up_what_they_say(tenant: Tenant) -> None:
    commands = read_commands()
    assert commands
    for command in commands:
        scope = [] if "-k" in command else ["-n", tenant.namespace]  # an installation names its own namespace
        printed = tenant.kubectl.run(*command, *scope)
    assert "rlmstack.rlm-operator.dev/demo" in printed
    tenant.expect_condition("rlmstack", "demo", "SecretsReady", "True")


def test_crds_and_a_sample_are_applied_by_one_command(tenant: Tenant) -> None:
    files = [absolute(path) for path in ("crds", "config/samples/quickstart.yaml")]
    printed = tenant.kubectl.run("apply", "-n", tenant.namespace, *(f"--filename={path}" for path in files))
    assert "rlmstack.rlm-operator.dev/demo created" in printed
    tenant.expect("deployment", "demo-rlm")
