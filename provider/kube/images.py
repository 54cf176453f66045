"""PodVMImages' statuses at the API server, by server-side apply. The objects themselves are their admins'."""

from provider.api.fields import GROUP, VERSION
from provider.kube.client import APPLY, FIELD_MANAGER, KubeClient, KubeObject, path

_API = f"{GROUP}/{VERSION}"
_PLURAL = "podvmimages"
_QUERY = {"fieldManager": FIELD_MANAGER, "force": "true"}


class ImageObjects:
    """Of all VCHs, which share them."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def list(self) -> list[KubeObject]:
        """Raises KubeError."""
        found = await self._client.request("GET", path(_API, _PLURAL))
        return list(found.get("items") or ())

    async def apply_status(self, name: str, uid: str, status: KubeObject) -> KubeObject:
        """What is stored then. Raises KubeConflict if it is another one of that name by now, KubeError."""
        body = {"apiVersion": _API, "kind": "PodVMImage", "metadata": {"name": name, "uid": uid}, "status": status}
        target = path(_API, _PLURAL, name=name, subresource="status")
        return await self._client.request("PATCH", target, query=_QUERY, body=body, content_type=APPLY)
