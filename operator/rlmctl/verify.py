"""`rlmctl verify`: the security checklist of running stacks and pools, judged anew from the objects of a cluster."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlm_operator.errors import ApiError, ClusterConfigError
from rlmctl.errors import EndpointError, InputError, VerificationError
from rlmctl.terminal import stdout_console
from rlmctl.verifying.collection import Verdict, verify_resources
from rlmctl.verifying.report import as_json, build_lines


class OutputForm(StrEnum):
    TABLE = "table"
    JSON = "json"


def verify_command(
    name: Annotated[str | None, typer.Argument(help="RLMStack or SandboxPool; else all of the namespace.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where they are.")] = "default",
    output: Annotated[OutputForm, typer.Option("--output", "-o", help="For people, or for programs.")] = (
        OutputForm.TABLE
    ),
    kubeconfig: Annotated[Path | None, typer.Option(help="kubeconfig file; else the usual one.")] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
) -> None:
    """Judge the security checklist of running stacks and pools, without trusting what the operator says.

    Read are Deployments, their pods, ConfigMaps and NetworkPolicies, with your rights; no Secret is.
    The exit status is 5 when something does not hold.
    """
    try:
        verdicts = asyncio.run(_verify(kubeconfig, context, namespace, name))
    except (ApiError, ClusterConfigError) as error:
        raise EndpointError(f"{error}") from error
    if not verdicts:
        wanted = f'no RLMStack or SandboxPool "{name}"' if name else "no RLMStack or SandboxPool"
        raise InputError(f'{wanted} in namespace "{namespace}": name another with --namespace')
    if output is OutputForm.JSON:
        typer.echo(json.dumps(as_json(verdicts), indent=2))
    else:
        console = stdout_console()
        for line in build_lines(verdicts):
            console.print(line, soft_wrap=True)
    failed = sum(not check.passed for verdict in verdicts for check in verdict.checks)
    if failed:
        raise VerificationError(f"{failed} of {sum(len(verdict.checks) for verdict in verdicts)} items do not hold")


async def _verify(kubeconfig: Path | None, context: str | None, namespace: str, name: str | None) -> list[Verdict]:
    from rlm_operator.cluster import Access, open_cluster  # loads the Kubernetes client, half a second of every command

    cluster = await open_cluster(Access(kubeconfig, context))
    try:
        return await verify_resources(cluster, namespace, name)
    finally:
        await cluster.close()
