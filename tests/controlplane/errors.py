"""What can go wrong between an empty machine and a control plane that answers.

ControlPlaneError
├── BinaryError        a program is missing and cannot be built, or its build failed
├── StartError         a process ended, or did not become ready in time; carries the end of its log
├── EvaluatorError     the evaluator of network policies did not judge
└── KubectlError       kubectl exited with an error; `stderr` holds the API server's words
"""

from __future__ import annotations


class ControlPlaneError(Exception):
    """Base of everything that this package raises on purpose."""


class BinaryError(ControlPlaneError):
    """A program of the control plane can be neither found nor built."""


class StartError(ControlPlaneError):
    """A process of the control plane did not come up."""


class EvaluatorError(ControlPlaneError):
    """The evaluator of network policies failed, or judged something else than it was asked."""


class KubectlError(ControlPlaneError):
    """kubectl ended with a non-zero status."""

    def __init__(self, arguments: tuple[str, ...], returncode: int, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)} ended with status {returncode}:\n{stderr.strip()}")
        self.stderr = stderr
