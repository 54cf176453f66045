"""Which rights requests needed is read rightly from the audit log."""

import json
from pathlib import Path
from typing import Any

from e2e.tests.account_rights import Right, granted, missing, needed, unused

ACCOUNT = "system:serviceaccount:vch-system:operator"


def entry(verb: str, resource: str, code: int = 200, node: str = "", **ref: str) -> dict[str, Any]:
    return {
        "verb": verb,
        "user": {"username": ACCOUNT},
        "objectRef": {"resource": resource, **ref},
        "responseStatus": {"code": code},
        **({"impersonatedUser": {"username": f"system:node:{node}"}} if node else {}),
    }


def log(folder: Path, *entries: dict[str, Any]) -> Path:
    place = folder / "audit.log"
    place.write_text("".join(json.dumps(each) + "\n" for each in entries))
    return place


def test_an_apply_that_makes_the_object_needs_two_rights(tmp_path: Path) -> None:
    found = needed(
        log(tmp_path, entry("patch", "nodes", 201), entry("patch", "nodes", 200, subresource="status")), ACCOUNT
    )
    assert {str(right) for right in found} == {"patch nodes", "create nodes", "patch nodes/status"}


def test_a_request_as_a_node_needs_the_rights_of_impersonation(tmp_path: Path) -> None:
    found = needed(log(tmp_path, entry("list", "secrets", node="vch-1", namespace="team")), ACCOUNT)
    assert found == {
        Right("impersonate:arbitrary-node", "authentication.k8s.io", "nodes", name="vch-1"),
        Right("impersonate-on:arbitrary-node:list", "", "secrets", "team"),
    }


def test_what_was_refused_and_what_others_did_needs_nothing(tmp_path: Path) -> None:
    other = {**entry("get", "pods"), "user": {"username": "admin"}}
    assert needed(log(tmp_path, entry("get", "pods", 403), other), ACCOUNT) == set()


def test_a_right_is_spare_if_another_one_would_do() -> None:
    role = {"metadata": {"name": "a", "namespace": "ours"}, "rules": [_rule("get", "secrets")]}
    whole = {"metadata": {"name": "b"}, "rules": [_rule("get", "secrets", "pods")]}
    rights = granted([role, whole])
    assert [str(right) for right in unused(rights, [Right("get", "", "secrets", "ours", "a")])] == [
        "get pods",
        "get secrets",
        "get secrets in ours",
    ]
    assert unused(rights, [Right("get", "", "secrets", "theirs", "a"), Right("get", "", "pods")]) == [rights[0]]


def test_a_need_that_no_right_is_for_is_missing() -> None:
    named = Right("get", "", "namespaces", name="kube-system")
    other = Right("get", "", "namespaces", name="default")
    assert missing([named], [named, other]) == [other]


def _rule(verb: str, *resources: str) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": list(resources), "verbs": [verb]}
