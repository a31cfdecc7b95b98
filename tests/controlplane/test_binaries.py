"""Where the programs come from: found ones are used if they are new enough, missing ones are built once and whole."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from tests.controlplane.binaries import build, cache_path, find
from tests.controlplane.errors import BinaryError
from tests.controlplane.programs import KUBE_SCHEDULER, KWOK, PROGRAMS, PROMTOOL, Module, Program

ETCD, API_SERVER, _, KUBECTL = PROGRAMS


def write_script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def write_go(folder: Path, version: str = "go1.26.1", build_body: str = "") -> Path:
    """A stand-in for `go`: it tells its version, and `go build … -o FILE` does `build_body` with $output and $log."""
    log = folder / "builds"
    body = f"""
if [ "$1" = env ]; then echo {version}; exit 0; fi
arguments="$*"
while [ "$1" != -o ]; do shift; done
output=$2; log={log}
{build_body}
"""
    write_script(folder / "go", body)
    return log


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No assets, an empty cache, and a PATH that starts with the returned folder."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{path}:/bin:/usr/bin")
    return path


@pytest.mark.parametrize(
    ("program", "says", "is_used"),
    [
        (ETCD, "etcd Version: 3.6.5", True),
        (ETCD, "etcd Version: 3.4.23", False),
        (API_SERVER, "Kubernetes v1.35.0", True),
        (API_SERVER, "Kubernetes v1.33.9", False),
        (KUBECTL, "Client Version: v1.33.2", True),
        (KUBECTL, "Client Version: v1.32.4-dispatcher", False),
        (KUBECTL, "no version at all", False),
        (PROMTOOL, "promtool, version 3.2.1 (branch: HEAD)", True),
        (PROMTOOL, "promtool, version 2.55.0 (branch: HEAD)", False),
    ],
)
def test_a_program_on_path_is_used_if_it_is_new_enough(
    empty_machine: Path, program: Program, says: str, is_used: bool
) -> None:
    script = write_script(empty_machine / program.name, f"echo '{says}'")
    assert find(program) == (script if is_used else None)


def test_assets_come_before_path(empty_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_script(empty_machine / "etcd", "echo etcd Version: 3.6.1")
    asset = write_script(tmp_path / "assets" / "etcd", "echo etcd Version: 3.6.5")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert find(ETCD) == asset


def test_the_pinned_versions_are_read_from_the_module_files() -> None:
    assert (ETCD.module.version, API_SERVER.module.version) == ("v3.6.5", "v1.34.4")
    assert (KUBE_SCHEDULER.module.version, KWOK.module.version) == ("v1.34.4", "v0.7.0")
    assert "-X k8s.io/component-base/version.gitVersion=v1.34.4" in API_SERVER.module.linker_flags


def test_a_build_lands_in_the_cache_and_is_found_from_then_on(empty_machine: Path) -> None:
    write_go(empty_machine, build_body='echo built > "$output"')
    built = build(ETCD)
    assert built == cache_path(ETCD) == find(ETCD)
    assert built.read_text() == "built\n"


def test_a_failed_build_says_what_go_said_and_leaves_no_program(empty_machine: Path) -> None:
    write_go(empty_machine, build_body='echo half > "$output"; echo "main.go:1: broken" >&2; exit 1')
    with pytest.raises(BinaryError, match=r"main\.go:1: broken"):
        build(ETCD)
    assert find(ETCD) is None


def test_two_builds_at_once_build_once(empty_machine: Path) -> None:
    log = write_go(empty_machine, build_body='echo build >> "$log"; sleep 0.3; echo built > "$output"')
    threads = [threading.Thread(target=build, args=(ETCD,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.read_text() == "build\n"


def test_a_go_that_is_too_old_is_refused_with_what_to_do(empty_machine: Path) -> None:
    write_go(empty_machine, version="go1.19.8")
    with pytest.raises(BinaryError, match=r"Go is go1\.19\.8: install Go 1\.24 or newer, or put etcd into"):
        build(ETCD)


def test_a_machine_without_go_is_told_to_install_it(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(empty_machine))
    with pytest.raises(BinaryError, match=r"no working `go` on PATH: install Go 1\.24"):
        build(ETCD)


def test_the_cache_folder_changes_with_the_linker_flags() -> None:
    plain = Module("kubernetes", "k8s.io/kubernetes")
    assert plain.key != API_SERVER.module.key


def test_build_tags_are_told_to_go_and_change_the_cache_folder(empty_machine: Path) -> None:
    log = write_go(empty_machine, build_body='echo "$arguments" >> "$log"; echo built > "$output"')
    module = dataclasses.replace(ETCD.module, tags=("small", "quick"))
    build(dataclasses.replace(ETCD, module=module))
    assert "-tags small,quick" in log.read_text()
    assert module.key != ETCD.module.key
