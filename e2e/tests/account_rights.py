"""What an account may do by RBAC, one right at a time, and which of its rights its requests needed.

Requests are the API server's audit log: every one is in it. What a request needs is what the API server asks its
authorizers before it: for one made as a node (constrained impersonation) other rights than the request's own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AS_NODE = "impersonate:arbitrary-node"
_ON = "impersonate-on:arbitrary-node:"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
"""The one signer whose requests the operator approves."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource. `namespace` is that of a Role, empty: everywhere. `name` empty: all objects."""

    verb: str
    group: str
    resource: str  # with its sub-resource
    namespace: str = ""
    name: str = ""

    def allows(self, need: "Right") -> bool:
        return (
            (self.verb, self.group, self.resource) == (need.verb, need.group, need.resource)
            and self.namespace in ("", need.namespace)
            and self.name in ("", need.name)
        )

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        what = ".".join(filter(None, (self.resource, self.group)))
        return " ".join(filter(None, (self.verb, what, self.name))) + where


def granted(roles: Iterable[Mapping[str, Any]]) -> list[Right]:
    """Of Roles and ClusterRoles."""
    return [
        Right(verb, group, resource, role["metadata"].get("namespace", ""), name)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames") or [""]
    ]


def needed(log: Path, account: str) -> set[Right]:
    """What the account's requests that succeeded so far needed."""
    with log.open(encoding="utf-8") as lines:
        return {right for line in lines for right in _of(json.loads(line), account)}


def refused(log: Path, account: str) -> set[Right]:
    """What was asked for and may not be done by the account itself."""
    with log.open(encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    return {
        _own(entry)
        for entry in entries
        if entry["user"]["username"] == account
        and not entry.get("impersonatedUser")
        and _for_want_of_a_right(entry.get("responseStatus") or {})
    }


def _for_want_of_a_right(answer: dict[str, Any]) -> bool:
    """Nothing new in a namespace that is ending is forbidden to everybody."""
    return answer.get("code") == 403 and "it is being terminated" not in answer.get("message", "")


def unused(rights: Iterable[Right], needs: Iterable[Right]) -> list[Right]:
    """Rights without which each of these requests would have been allowed too: nothing shows that they are needed."""
    rights, needs = list(rights), list(needs)
    without = {right: [each for each in rights if each is not right] for right in rights}
    return sorted(
        right
        for right, others in without.items()
        if not any(right.allows(need) and not any(other.allows(need) for other in others) for need in needs)
    )


def missing(rights: Iterable[Right], needs: Iterable[Right]) -> list[Right]:
    rights = list(rights)
    return sorted(need for need in needs if not any(right.allows(need) for right in rights))


def _of(entry: Mapping[str, Any], account: str) -> Iterator[Right]:
    code = (entry.get("responseStatus") or {}).get("code", 0)
    if entry["user"]["username"] != account or "objectRef" not in entry or (code >= 400 and code != 409):
        return
    own = _own(entry)
    if node := (entry.get("impersonatedUser") or {}).get("username", ""):
        yield Right(AS_NODE, "authentication.k8s.io", "nodes", name=node.removeprefix("system:node:"))
        own = Right(_ON + own.verb, own.group, own.resource, own.namespace, own.name)
    yield own
    if own.resource == "certificatesigningrequests/approval":
        # Asked for by the admission plug-in CertificateApproval, in no request of its own.
        yield Right("approve", own.group, "signers", name=KUBELET_SERVING)
    if own.verb == "patch" and code == 201:  # a server-side apply that has made the object
        yield Right("create", own.group, own.resource, own.namespace, own.name)


def _own(entry: Mapping[str, Any]) -> Right:
    what = entry.get("objectRef") or {}
    resource = "/".join(filter(None, (what.get("resource"), what.get("subresource"))))
    return Right(entry["verb"], what.get("apiGroup", ""), resource, what.get("namespace", ""), what.get("name", ""))
