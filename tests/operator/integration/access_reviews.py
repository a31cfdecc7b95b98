"""What an account may do, as the API server itself answers: SelfSubjectAccessReviews, many in one call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.controlplane.kubectl import Kubectl, Object


@dataclass(frozen=True)
class Action:
    """A verb on a resource (`pods/exec`), of one namespace or (empty) of all; or on a path (`/metrics`)."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.group}/{self.resource} {self.name}{where}".replace(" /", " ").strip()

    @property
    def review(self) -> Object:
        if self.resource.startswith("/"):
            asked: Object = {"nonResourceAttributes": {"path": self.resource, "verb": self.verb}}
        else:
            resource, _, subresource = self.resource.partition("/")
            attributes = {
                "group": self.group,
                "resource": resource,
                "subresource": subresource,
                "namespace": self.namespace,
                "name": self.name,
                "verb": self.verb,
            }
            asked = {"resourceAttributes": attributes}
        return {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": asked}


def find_allowed(account: Kubectl, actions: Sequence[Action]) -> list[Action]:
    """Those of `actions` that `account` may do."""
    items = [action.review for action in actions]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    answers = list(_documents(account.run("create", "-f", "-", "-o", "json", stdin=document)))
    assert len(answers) == len(actions)
    return [action for action, answer in zip(actions, answers, strict=True) if answer["status"]["allowed"]]


def _documents(text: str) -> Iterator[Object]:
    """kubectl prints one JSON document after the other."""
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        document, end = decoder.raw_decode(rest)
        yield document
        rest = rest[end:].lstrip()
