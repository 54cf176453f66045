"""What is written about Pods: status, delete, events, tokens. A write carries the UID of the Pod that it is meant for.

The names are those of `relay_controller.RelayKube`, whose requests of guests end here after they were checked.
"""

from provider import errors
from provider.kube.client import STRATEGIC, KubeClient, KubeObject, as_node, path


class PodWrites:
    """Writes on Pods, as the operator; tokens as the virtual node."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def get_pod(self, namespace: str, name: str) -> KubeObject | None:
        """The Pod by a quorum read, None if there is none of that name."""
        try:
            return await self._client.request("GET", path("v1", "pods", namespace=namespace, name=name))
        except errors.KubeNotFound:
            return None

    async def patch_pod_status(
        self, namespace: str, name: str, patch: KubeObject, content_type: str = STRATEGIC
    ) -> KubeObject:
        """The Pod after the patch. With `metadata.uid` in the patch another Pod of the name answers KubeConflict."""
        target = path("v1", "pods", namespace=namespace, name=name, subresource="status")
        return await self._client.request("PATCH", target, body=patch, content_type=content_type)

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_period_seconds: int | None) -> KubeObject:
        """Delete this very Pod; None: with its own grace period. Raises KubeNotFound, KubeConflict (another UID)."""
        body: KubeObject = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        if grace_period_seconds is not None:
            body["gracePeriodSeconds"] = grace_period_seconds
        return await self._client.request("DELETE", path("v1", "pods", namespace=namespace, name=name), body=body)

    async def create_event(self, namespace: str, event: KubeObject) -> KubeObject:
        return await self._client.request("POST", path("v1", "events", namespace=namespace), body=event)

    async def patch_event(self, namespace: str, name: str, patch: KubeObject, content_type: str) -> KubeObject:
        target = path("v1", "events", namespace=namespace, name=name)
        return await self._client.request("PATCH", target, body=patch, content_type=content_type)

    async def create_token(self, node: str, namespace: str, service_account: str, body: KubeObject) -> KubeObject:
        """A TokenRequest as the virtual node: NodeRestriction wants a Pod of that node in it."""
        target = path("v1", "serviceaccounts", namespace=namespace, name=service_account, subresource="token")
        return await self._client.request("POST", target, body=body, headers=as_node(node))
