"""A node's certificate: asked for as the node, approved as the operator, and only what was asked for."""

import asyncio
import base64
import copy
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from provider import errors
from provider.kube.client import as_node
from provider.kube.signing import SIGNER, Signing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


class Cluster:
    """An API server with one CertificateSigningRequest; a signer signs what is approved, when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Mapping[str, str] | None]] = []
        self.stored: dict = {}
        self.conflicts = 0
        self.changes: dict = {}  # what the API server makes of a spec
        self.condition = ""  # instead of a certificate
        self.before = False  # whether somebody else has approved it
        self.signed = asyncio.Event()
        self.signed.set()

    async def request(
        self,
        method: str,
        url_path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict:
        self.asked.append((method, url_path, headers))
        if method == "POST":
            user = {"username": (headers or {})["Impersonate-User"]}
            self.stored = copy.deepcopy({**body, "spec": {**body["spec"], **user, **self.changes}})
            self.stored["metadata"] = {"name": "csr-1", "resourceVersion": "1"}
            if self.before:
                self.stored["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
        elif method == "PUT":
            if self.conflicts:
                self.conflicts -= 1
                raise errors.KubeConflict("changed")
            self.stored = copy.deepcopy(body)
        return copy.deepcopy(self.stored)

    async def stream(
        self, url_path: str, *, query: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict]:
        self.asked.append(("WATCH", url_path, headers))
        yield {"type": "ADDED", "object": copy.deepcopy(self.stored)}
        await self.signed.wait()
        if self.condition:
            self.stored["status"]["conditions"].append({"type": self.condition, "message": "no words"})
        else:
            self.stored["status"]["certificate"] = base64.b64encode(b"chain").decode()
        yield {"type": "MODIFIED", "object": self.stored}


def signing(cluster: Cluster) -> Signing:
    return Signing(cast("Any", cluster), "vch")


async def test_the_node_asks_and_the_operator_approves() -> None:
    cluster = Cluster()
    assert await signing(cluster).sign(b"request", NOW, 30) == b"chain"
    assert cluster.asked == [
        ("POST", REQUESTS, as_node("vch")),
        ("PUT", f"{REQUESTS}/csr-1/approval", None),
        ("WATCH", REQUESTS, as_node("vch")),
    ]
    spec = cluster.stored["spec"]
    assert base64.b64decode(spec["request"]) == b"request"
    assert (spec["signerName"], spec["usages"]) == (SIGNER, ["digital signature", "server auth"])
    assert [each["type"] for each in cluster.stored["status"]["conditions"]] == ["Approved"]


@pytest.mark.parametrize(
    "changes",
    [
        {"request": base64.b64encode(b"another").decode()},
        {"signerName": "kubernetes.io/kube-apiserver-client"},
        {"usages": ["client auth", "digital signature"]},
        {"username": "system:node:other"},
    ],
)
async def test_what_was_not_asked_for_is_not_approved(changes: dict) -> None:
    cluster = Cluster()
    cluster.changes = changes
    with pytest.raises(errors.CertificateRefused, match="not as it was sent"):
        await signing(cluster).sign(b"request", NOW, 30)
    assert not [each for each in cluster.asked if each[0] == "PUT"]


async def test_it_is_looked_at_again_before_a_second_attempt_to_approve() -> None:
    cluster = Cluster()
    cluster.conflicts = 2
    assert await signing(cluster).sign(b"request", NOW, 30) == b"chain"
    assert [method for method, _, _ in cluster.asked] == ["POST", *("PUT", "WATCH") * 3]


async def test_what_somebody_else_has_approved_is_not_approved_twice() -> None:
    cluster = Cluster()
    cluster.before = True
    assert await signing(cluster).sign(b"request", NOW, 30) == b"chain"
    assert not [each for each in cluster.asked if each[0] == "PUT"]


@pytest.mark.parametrize("condition", ["Denied", "Failed"])
async def test_a_refusal_is_told_in_its_words(condition: str) -> None:
    cluster = Cluster()
    cluster.condition = condition
    with pytest.raises(errors.CertificateRefused, match=f"csr-1: {condition}: no words"):
        await signing(cluster).sign(b"request", NOW, 30)


async def test_a_signer_that_is_silent_is_named_with_the_remedy() -> None:
    cluster = Cluster()
    cluster.signed.clear()
    with pytest.raises(errors.CertificatePending, match=r"csr-1 is approved.*--cluster-signing-cert-file"):
        await signing(cluster).sign(b"request", NOW, 0.01)
