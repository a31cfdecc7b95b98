"""Everything that the operator raises by itself; each class says what the caller should do about it.

    OperatorError
    ├── SpecInvalidError        the custom resource can not be read: fix it, retrying does not help
    ├── ClusterConfigError      no way to reach a Kubernetes API: fix the settings
    ├── OwnerGoneError          the custom resource was deleted or replaced meanwhile: stop, there is nothing to do
    ├── OvertakenError          somebody wrote to a child between our look and our write: look again
    ├── NotLeaderError          another operator may lead by now: write nothing
    ├── WorkerEndedError        a worker stopped by itself: end the process, it is started anew
    ├── WatchEndedError         kopf stopped by itself: likewise
    └── ApiError                the API server said no, or did not answer
        ├── NotFoundError       404: the object, or its kind, is not there
        ├── ConflictError       409: somebody else was first
        ├── RefusedError        400, 403, 422: quota, admission, validation or rights; the message names them
        └── UnavailableError    429, 5xx, time-outs, lost connections: try again later

Foreign errors become these in `cluster.py` alone.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Base of the tree."""


class SpecInvalidError(OperatorError):
    """A custom resource does not have the form that its CRD describes; the message names the field."""


class ClusterConfigError(OperatorError):
    """No usable kubeconfig or in-cluster account was found."""


class OwnerGoneError(OperatorError):
    """The custom resource that is being reconciled is no longer the one that was read."""


class OvertakenError(OperatorError):
    """A child changed since it was looked at, so what was about to be written may be out of date."""


class NotLeaderError(OperatorError):
    """A write was held back, because the Lease may be somebody else's."""


class WorkerEndedError(OperatorError):
    """A worker, which should run for ever, ended; the message says which and why."""


class WatchEndedError(OperatorError):
    """A part of kopf ended; the message says which and why. What is left of it may hang."""


class ApiError(OperatorError):
    """A request to the API server failed. `status` is the HTTP status, 0 when there was no answer.

    `retry_after`: seconds for which the API server asks not to be asked again; 0 when it says nothing of that.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFoundError(ApiError):
    """404."""


class ConflictError(ApiError):
    """409."""


class RefusedError(ApiError):
    """400, 403, 422: repeating the same request brings the same answer until something else changes."""


class UnavailableError(ApiError):
    """429, 5xx, or no answer at all: the same request may succeed later."""
