"""What the operator itself reads and keeps: Secrets of its namespace, VCHs' status and finalizer, the cluster's UID.

The finalizer on a VirtualContainerHost is what keeps it until its Pods have ended in peace.
"""

import base64
import binascii
import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from provider import errors
from provider.api.fields import GROUP, VERSION
from provider.api.vch import PLURAL
from provider.kube.client import APPLY, FIELD_MANAGER, MERGE, KubeClient, KubeObject, path

_API = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/drain"
_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


class ListedPod(NamedTuple):
    """What a list says of a Pod."""

    namespace: str
    name: str
    version: str


class OperatorObjects:
    """Reads and writes in the operator's own name."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    async def cluster_uid(self) -> str:
        """A cluster has no name of its own; the UID of kube-system is what is customary."""
        found = await self._client.request("GET", path("v1", "namespaces", name="kube-system"))
        return str(found["metadata"]["uid"])

    async def get_secret(self, name: str) -> dict[str, str] | None:
        """The decoded data of a Secret, None if there is none."""
        try:
            found = await self._client.request("GET", path("v1", "secrets", namespace=self.namespace, name=name))
        except errors.KubeNotFound:
            return None
        return _decoded(name, found)

    async def create_secret(self, name: str, data: Mapping[str, str], owner: KubeObject) -> None:
        """Raises KubeConflict if it exists."""
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace, "ownerReferences": [owner]},
            "stringData": dict(data),
        }
        await self._client.request("POST", path("v1", "secrets", namespace=self.namespace), body=secret)

    async def get_config_map(self, name: str) -> dict[str, str] | None:
        try:
            found = await self._client.request("GET", path("v1", "configmaps", namespace=self.namespace, name=name))
        except errors.KubeNotFound:
            return None
        return dict(found.get("data") or {})

    async def apply_vch_status(self, name: str, status: KubeObject) -> None:
        """Server-side apply of our part of a VCH's status."""
        body = {"apiVersion": _API, "kind": "VirtualContainerHost", "metadata": {"name": name}, "status": status}
        target = path(_API, PLURAL, name=name, subresource="status")
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        await self._client.request("PATCH", target, query=query, body=body, content_type=APPLY)

    async def hold_vch(self, name: str, uid: str) -> None:
        """Puts our finalizer on a VCH; one that is being deleted takes none. Raises KubeConflict: try again."""
        found = await self._vch(name, uid)
        if found is not None and not found.get("deletionTimestamp"):
            await self._finalizers(found, [*_without_ours(found), FINALIZER])

    async def let_vch_go(self, name: str, uid: str) -> None:
        """Takes our finalizer off a VCH. Raises KubeConflict: try again."""
        found = await self._vch(name, uid)
        if found is not None:
            await self._finalizers(found, _without_ours(found))

    async def _vch(self, name: str, uid: str) -> KubeObject | None:
        """The metadata of this very VCH."""
        try:
            found = await self._client.request("GET", path(_API, PLURAL, name=name))
        except errors.KubeNotFound:
            return None
        meta: KubeObject = found["metadata"]
        return meta if meta["uid"] == uid else None

    async def _finalizers(self, meta: KubeObject, wanted: list[str]) -> None:
        if sorted(meta.get("finalizers") or ()) == sorted(wanted):
            return
        # With the version, since a merge patch replaces the whole list: nobody else's finalizer may get lost.
        kept = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": wanted}
        target = path(_API, PLURAL, name=meta["name"])
        with contextlib.suppress(errors.KubeNotFound):
            await self._client.request("PATCH", target, body={"metadata": kept}, content_type=MERGE)

    async def list_ours(self, plural: str) -> list[KubeObject]:
        """All objects of a kind of ours. The API server leaves `kind` out of a list's items; it is put back."""
        found = await self._client.request("GET", path(_API, plural))
        kind = str(found["kind"]).removesuffix("List")
        return [{**item, "kind": kind} for item in found.get("items") or ()]

    async def list_pods(self, node: str) -> dict[str, ListedPod]:
        """The Pods bound to a node, by UID; metadata alone is transferred."""
        query = {"fieldSelector": f"spec.nodeName={node}"}
        found = await self._client.request("GET", path("v1", "pods"), query=query, accept=_METADATA)
        return {
            meta["uid"]: ListedPod(meta["namespace"], meta["name"], meta["resourceVersion"])
            for meta in (item["metadata"] for item in found.get("items") or ())
        }


def _without_ours(meta: KubeObject) -> list[str]:
    return [each for each in meta.get("finalizers") or () if each != FINALIZER]


def _decoded(name: str, secret: KubeObject) -> dict[str, str]:
    try:
        return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError) as error:
        raise errors.KubeError(f"Secret {name}: a value is not text") from error
