"""What `rlmctl dev` is about to start: from manifest files to local processes, in a folder for their Secrets.

Called by `local/stack.py`. The operator's own renderers are used, so a stack here is what the operator would create.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rlm_operator.errors import SpecInvalidError
from rlm_operator.inputs import choose_images
from rlm_operator.names import caller_entry
from rlm_operator.objects.inference_volumes import user_key_secret
from rlm_operator.render import render_all, sandbox_key_secret, terms_of
from rlm_operator.resource import Identity, Kind, Manifest, Pool, Stack, is_resource, parse_resource
from rlm_operator.spec.tls import Tls
from rlmctl.errors import InputError
from rlmctl.local.model_choice import ModelChoice, apply_choice, choose_model
from rlmctl.local.processes import (
    LOOPBACK,
    LocalContainer,
    LocalProcess,
    Neighbourhood,
    build_process,
    find_containers,
    free_port,
    select_essentials,
)
from rlmctl.local.ready_file import ReadyInfo
from rlmctl.local.secret_store import SecretStore
from rlmctl.local.volumes import Volumes
from rlmctl.render import load_documents


@dataclass(frozen=True)
class Plan:
    """`processes` in the order of their start; `info` lacks the pids; `notes` are for the user."""

    choice: ModelChoice
    processes: list[LocalProcess]
    info: ReadyInfo
    notes: list[str]
    served_model: str


def build_plan(files: Sequence[Path], environment: Mapping[str, str], folder: Path) -> Plan:
    """Secrets are written below `folder`. Raises InputError for files that cannot be run."""
    try:
        documents = load_documents(files)
        return _plan(documents, environment, folder)
    except SpecInvalidError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error


def _plan(documents: Sequence[Manifest], environment: Mapping[str, str], folder: Path) -> Plan:
    document = _only_stack(documents)
    store = SecretStore(documents)
    choice = choose_model(document, store, environment)
    stand_in_port = free_port()
    stand_in_url = f"http://{LOOPBACK}:{stand_in_port}/v1"
    stack = parse_resource(apply_choice(choice, document, store, environment, stand_in_url))
    if not isinstance(stack, Stack):
        raise InputError(f"{stack.identity.name} is not an RLMStack")
    stack, pool = _on_loopback(stack, _pool_of(stack, documents))
    user_secret = user_key_secret(stack)
    sandbox_secret = sandbox_key_secret(stack, terms_of(pool.spec))
    for name in filter(None, (user_secret, pool.key_secret, sandbox_secret)):
        store.generate(name)
    if sandbox_secret != pool.key_secret:
        entry = caller_entry(stack.identity.namespace, stack.identity.name)
        store.put(pool.key_secret, entry, store.first_key(sandbox_secret))

    manifests = render_all([stack, *([pool] if stack.spec.sandbox_pool_ref else [])], choose_images())
    containers = find_containers(manifests)
    neighbourhood = Neighbourhood(manifests, containers)
    essentials = select_essentials(environment)
    volumes = Volumes(store, [*documents, *manifests])
    processes = [
        build_process(container, neighbourhood, _write_volumes(container, volumes, folder / container.name), essentials)
        for container in containers
    ]
    if choice.source == "stand-in":
        processes.insert(0, _stand_in(stand_in_port, essentials))
    urls = {container.name: container.url for container in containers}
    info = ReadyInfo(
        endpoint=urls["inference"],
        api_key=store.first_key(user_secret) if user_secret else None,
        sandbox_url=urls["sandbox"],
        sandbox_key=store.first_key(pool.key_secret),
        model_url=stack.spec.model.base_url,
        pids={},
    )
    return Plan(
        choice=choice,
        processes=processes,
        info=info,
        notes=[note for container in containers for note in _notes(container)],
        served_model=stack.spec.inference.served_model_name or stack.spec.model.name,
    )


def _only_stack(documents: Sequence[Manifest]) -> Manifest:
    stacks = [each for each in documents if is_resource(each) and each["kind"] == Kind.STACK]
    if len(stacks) != 1:
        raise InputError(f"one RLMStack is run at a time and the files hold {len(stacks)}: name files with exactly one")
    return stacks[0]


def _pool_of(stack: Stack, documents: Sequence[Manifest]) -> Pool:
    """The stack's own pool, or the one of the files that it refers to."""
    owned, name = stack.spec.owned_pool, stack.pool_name
    if owned is not None:
        return Pool(Identity(Kind.POOL, stack.identity.namespace, name), owned)
    for document in documents:
        if is_resource(document) and document["kind"] == Kind.POOL:
            pool = parse_resource(document)
            found = (pool.identity.namespace, pool.identity.name)
            if isinstance(pool, Pool) and found == (stack.pool_namespace, name):
                return pool
    raise InputError(f"the stack refers to SandboxPool {name}, which is not in the files: add its file (-f)")


def _on_loopback(stack: Stack, pool: Pool) -> tuple[Stack, Pool]:
    """Without TLS: nothing leaves this machine, and certificates of a pool name its Services."""
    spec = pool.spec.model_copy(update={"tls": Tls(mode="Disabled")})
    if stack.spec.owned_pool is not None:
        stack = replace(stack, spec=stack.spec.model_copy(update={"sandbox": spec}))
    return stack, replace(pool, spec=spec)


def _write_volumes(container: LocalContainer, volumes: Volumes, folder: Path) -> dict[str, Path]:
    """A local folder for each volume, by the volume's name."""
    for name, volume in container.volumes.items():
        volumes.write(folder / name, volume)
    return {name: folder / name for name in container.volumes}


def _stand_in(port: int, essentials: Mapping[str, str]) -> LocalProcess:
    return LocalProcess(
        name="model",
        command=[sys.executable, "-m", "runtime.inference.demo_model", "--port", str(port)],
        environment=dict(essentials),
        ready_url=f"http://{LOOPBACK}:{port}/readyz",
    )


def _notes(container: LocalContainer) -> list[str]:
    if container.replicas == 1:
        return []
    return [f"{container.name}: {container.replicas} replicas in a cluster, one process here"]
