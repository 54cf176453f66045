"""A virtual node's serving certificate, asked of the cluster's signer `kubernetes.io/kubelet-serving`.

The node asks (impersonated, so that the API server says itself who did), the operator approves: the signer signs for
any address that a node claims, so somebody has to vouch that the claim is true, and here the operator made the address.
It vouches for its own request only, byte for byte. Requests are left to the API server's clean-up: an hour for what was
answered, a day for the rest.
"""

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import NoReturn

from provider import errors
from provider.kube.client import KubeClient, KubeObject, as_node, path

_API, _PLURAL = "certificates.k8s.io/v1", "certificatesigningrequests"
SIGNER = "kubernetes.io/kubelet-serving"
USAGES = ("digital signature", "server auth")
"""For an elliptic-curve key; with RSA it would be `key encipherment` too."""
REMEDY = (
    f"see whether kube-controller-manager signs for {SIGNER} (--cluster-signing-cert-file), or set "
    "VCH_KUBELET_CERTIFICATE and VCH_KUBELET_KEY"
)
_WATCH_SECONDS = "60"


class Signing:
    """Of one virtual node's certificates."""

    def __init__(self, client: KubeClient, node: str) -> None:
        self._client = client
        self._node = node

    async def sign(self, request_pem: bytes, now: datetime, within: float) -> bytes:
        """The certificate chain, PEM. Raises CertificatePending (not signed within so many seconds),
        CertificateRefused, KubeError."""
        asked = base64.b64encode(request_pem).decode()
        created = await self._client.request("POST", path(_API, _PLURAL), body=self._body(asked), headers=self._as_node)
        name = str(created["metadata"]["name"])
        await self._approve(created, asked, now)
        try:
            async with asyncio.timeout(within):
                return await self._signed(name)
        except TimeoutError:
            raise errors.CertificatePending(
                f"the CertificateSigningRequest {name} is approved, and not signed yet: {REMEDY}"
            ) from None

    @property
    def _as_node(self) -> dict[str, str]:
        return as_node(self._node)

    def _body(self, asked: str) -> KubeObject:
        return {
            "apiVersion": _API,
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": f"csr-{self._node[:50]}-"},
            "spec": {"request": asked, "signerName": SIGNER, "usages": list(USAGES)},
        }

    async def _approve(self, found: KubeObject, asked: str, now: datetime) -> None:
        name = found["metadata"]["name"]
        while not _condition(found, "Approved"):
            self._is_ours(found, asked)
            condition = {
                "type": "Approved",
                "status": "True",
                "reason": "VirtualKubeletVCH",
                "message": f"asked for by the operator that runs the virtual node {self._node}",
                "lastUpdateTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            approved = {**found, "status": {"conditions": [condition]}}
            target = path(_API, _PLURAL, name=name, subresource="approval")
            try:
                found = await self._client.request("PUT", target, body=approved)
            except errors.KubeConflict:
                # Somebody else has written to it.
                async with contextlib.aclosing(self._states(name)) as states:
                    found = await anext(states)

    def _is_ours(self, found: KubeObject, asked: str) -> None:
        """It is vouched for what is stored, not for what was sent. Raises CertificateRefused."""
        spec, name = found["spec"], found["metadata"]["name"]
        if (spec["request"], spec["signerName"], spec["usages"], spec.get("username")) != (
            asked,
            SIGNER,
            list(USAGES),
            f"system:node:{self._node}",
        ):
            raise errors.CertificateRefused(f"the CertificateSigningRequest {name} is not as it was sent: not approved")
        if denied := _condition(found, "Denied"):
            _refused(name, denied)

    async def _signed(self, name: str) -> bytes:
        async with contextlib.aclosing(self._states(name)) as states:
            while (chain := _chain(await anext(states))) is None:
                pass
        return chain

    async def _states(self, name: str) -> AsyncGenerator[KubeObject, None]:
        """The request as it is now, then whenever it changes, without end. Raises CertificateRefused, KubeError."""
        # Without a version a watch begins with what there is: no list is needed, nor the right to one.
        query = {"fieldSelector": f"metadata.name={name}", "watch": "true", "timeoutSeconds": _WATCH_SECONDS}
        while True:
            async for event in self._client.stream(path(_API, _PLURAL), query=query, headers=self._as_node):
                if event.get("type") == "ERROR":
                    break
                if event.get("type") == "DELETED":
                    raise errors.CertificateRefused(f"the CertificateSigningRequest {name} was deleted")
                yield event["object"]


def _chain(found: KubeObject) -> bytes | None:
    """None: not signed yet. Raises CertificateRefused."""
    for kind in ("Denied", "Failed"):
        if condition := _condition(found, kind):
            _refused(found["metadata"]["name"], condition)
    encoded = (found.get("status") or {}).get("certificate")
    if not encoded:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise errors.CertificateRefused("the signer has not answered with a certificate") from error


def _condition(found: KubeObject, kind: str) -> KubeObject | None:
    for each in (found.get("status") or {}).get("conditions") or ():
        if each["type"] == kind:
            return dict(each)
    return None


def _refused(name: str, condition: KubeObject) -> NoReturn:
    words = condition.get("message") or condition.get("reason") or "without a reason"
    raise errors.CertificateRefused(f"CertificateSigningRequest {name}: {condition['type']}: {words}")
