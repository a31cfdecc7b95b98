"""The isolation probe between real network namespaces: what it reports with and without a filter in the way.

A pod is a namespace of its own, joined to that of the outside by a cable; the filter is nftables in the pod's
namespace, which drops packets as a network plugin does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.sandbox.isolation_probe import main

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"),
    reason="network namespaces need root, iproute2 and nftables",
)

OUTSIDE_ADDRESSES = ("10.99.0.1/24", "169.254.169.254/32", "1.1.1.1/32")
SERVER = """
import socket, threading
def answer(udp):
    while True:
        question, sender = udp.recvfrom(512)
        udp.sendto(question[:2] + bytes([0x81, 0x83]) + question[4:], sender)
listening = []
for port in (80, 443, 8000):
    tcp = socket.create_server(("0.0.0.0", port))
    listening.append(tcp)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
print("ready", flush=True)
answer(udp)
"""


class Pod:
    """A network namespace with one way out."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def filter(self, *rules: str) -> None:
        """nftables rules for what leaves the pod."""
        self.run("nft", "add table inet filter_out")
        self.run("nft", "add chain inet filter_out out { type filter hook output priority 0; }")
        for rule in rules:
            self.run("nft", f"add rule inet filter_out out {rule}")

    def probe(self, folder: Path, *options: str) -> dict[str, list[str]]:
        (folder / "resolv.conf").write_text("search svc\nnameserver 10.99.0.1\n")
        report = folder / "report"
        fixed = ["--seconds=0.5", "--pause=0.1", f"--report={report}", f"--resolv-conf={folder / 'resolv.conf'}"]
        command = [sys.executable, "-m", "runtime.sandbox.isolation_probe", *fixed, *options]
        self.run(*command, KUBERNETES_SERVICE_HOST="10.99.0.1", KUBERNETES_SERVICE_PORT="443")
        found: dict[str, list[str]] = json.loads(report.read_text())
        return found


@pytest.fixture
def pod() -> Iterator[Pod]:
    """A pod that can reach API server, metadata, DNS, the Internet and a sandbox, all played by one namespace."""
    tag = f"{os.getpid()}"
    inside, outside = f"rlm-pod-{tag}", f"rlm-out-{tag}"
    commands = [
        f"netns add {inside}",
        f"netns add {outside}",
        f"link add c{tag} netns {inside} type veth peer name d{tag} netns {outside}",
        f"-n {inside} addr add 10.99.0.2/24 dev c{tag}",
        *(f"-n {outside} addr add {address} dev d{tag}" for address in OUTSIDE_ADDRESSES),
        f"-n {inside} link set c{tag} up",
        f"-n {outside} link set d{tag} up",
        f"-n {outside} link set lo up",
        f"-n {inside} route add default via 10.99.0.1",
    ]
    server: subprocess.Popen[str] | None = None
    try:
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True, capture_output=True, timeout=30)
        server = subprocess.Popen(
            ["ip", "netns", "exec", outside, sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield Pod(inside)
    finally:
        if server is not None:
            server.kill()
            server.communicate()
        for name in (inside, outside):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=30)


EVERYTHING = ["api-server", "dns", "internet", "llm", "metadata"]
SANDBOX_ROLE = ("--outside=closed", "--closed=llm=10.99.0.1:8000")


def test_without_a_filter_everything_is_reached(pod: Pod, tmp_path: Path) -> None:
    assert pod.probe(tmp_path, *SANDBOX_ROLE) == {"reached": EVERYTHING, "tried": EVERYTHING}


def test_behind_a_filter_that_drops_all_nothing_is_reached(pod: Pod, tmp_path: Path) -> None:
    pod.filter("drop")
    assert pod.probe(tmp_path, *SANDBOX_ROLE) == {"reached": [], "tried": EVERYTHING}


@pytest.mark.parametrize(
    ("hole", "reached"),
    [
        ("udp dport 53 accept", ["dns"]),
        ("ip daddr 169.254.169.254 accept", ["metadata"]),
        ("ip daddr 10.99.0.1 tcp dport 443 accept", ["api-server"]),
        ("tcp dport 8000 accept", ["llm"]),
    ],
)
def test_a_hole_in_the_filter_is_found(pod: Pod, tmp_path: Path, hole: str, reached: list[str]) -> None:
    pod.filter(hole, "drop")
    assert pod.probe(tmp_path, *SANDBOX_ROLE)["reached"] == reached


def test_a_connection_that_is_refused_is_not_reached(pod: Pod, tmp_path: Path) -> None:
    report = pod.probe(tmp_path, "--open=closed=10.99.0.1:9999")
    assert report == {"reached": [], "tried": ["closed"]}


def test_a_filter_that_comes_late_counts_as_one(pod: Pod, tmp_path: Path) -> None:
    pod.filter("tcp dport 8000 limit rate over 1/hour burst 1 packets drop")
    report = pod.probe(tmp_path, "--closed=llm=10.99.0.1:8000")
    assert report["reached"] == []


def test_a_caller_that_is_let_through_is_told_so(pod: Pod, tmp_path: Path) -> None:
    pod.filter("tcp dport 8000 accept", "drop")
    report = pod.probe(tmp_path, "--open=sandbox=10.99.0.1:8000")
    assert report == {"reached": ["sandbox"], "tried": ["sandbox"]}


def test_a_target_that_is_not_written_as_one_ends_the_probe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--open=nonsense", f"--report={tmp_path / 'report'}"])
    assert "'nonsense' is not NAME=HOST:PORT" in capsys.readouterr().err
