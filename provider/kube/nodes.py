"""Writes of the virtual node: its Node object and its Lease. What is in them is `provider.node`'s business."""

from provider import errors
from provider.kube.client import APPLY, FIELD_MANAGER, MERGE, KubeClient, KubeObject, path

LEASES = "kube-node-lease"
_LEASE_API = "coordination.k8s.io/v1"
_TIMEOUT = 8.0  # a heartbeat that takes longer than its period is late anyway


class NodeWrites:
    """One Node and its Lease."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def get_node(self, name: str) -> KubeObject | None:
        try:
            return await self._client.request("GET", path("v1", "nodes", name=name), within=_TIMEOUT)
        except errors.KubeNotFound:
            return None

    async def create_node(self, node: KubeObject) -> KubeObject:
        """Raises KubeConflict if it exists. Another field manager than the apply's, so that taints stay everybody's."""
        query = {"fieldManager": f"{FIELD_MANAGER}-creation"}
        return await self._client.request("POST", path("v1", "nodes"), query=query, body=node, within=_TIMEOUT)

    async def apply_node(self, node: KubeObject) -> KubeObject:
        """Server-side apply: labels and annotations that are not in `node` any more go, foreign ones stay."""
        return await self._apply(node, "")

    async def apply_node_status(self, node: KubeObject) -> KubeObject:
        return await self._apply(node, "status")

    async def patch_node(self, name: str, patch: KubeObject) -> KubeObject:
        """A merge patch, e.g. to cordon."""
        target = path("v1", "nodes", name=name)
        return await self._client.request("PATCH", target, body=patch, content_type=MERGE, within=_TIMEOUT)

    async def delete_node(self, name: str) -> None:
        """Gone already: success."""
        for target in (path("v1", "nodes", name=name), path(_LEASE_API, "leases", namespace=LEASES, name=name)):
            try:
                await self._client.request("DELETE", target, within=_TIMEOUT)
            except errors.KubeNotFound:
                continue

    async def renew_lease(self, lease: KubeObject) -> None:
        """Raises KubeNotFound if there is none."""
        target = path(_LEASE_API, "leases", namespace=LEASES, name=lease["metadata"]["name"])
        await self._client.request("PATCH", target, body=lease, content_type=MERGE, within=_TIMEOUT)

    async def create_lease(self, lease: KubeObject) -> None:
        """Raises KubeConflict if there is one."""
        await self._client.request("POST", path(_LEASE_API, "leases", namespace=LEASES), body=lease, within=_TIMEOUT)

    async def _apply(self, node: KubeObject, subresource: str) -> KubeObject:
        target = path("v1", "nodes", name=node["metadata"]["name"], subresource=subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._client.request("PATCH", target, query=query, body=node, content_type=APPLY, within=_TIMEOUT)
