"""ParentVM objects at the API server: server-side apply of the whole, status by its sub-resource."""

from provider.kube.client import APPLY, FIELD_MANAGER, KubeClient, KubeObject, path

_API = "vch.dev/v1alpha1"
_PLURAL = "parentvms"
_QUERY = {"fieldManager": FIELD_MANAGER, "force": "true"}


class ParentObjects:
    """Of all VCHs; told apart by a label."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def list(self, vch: str) -> list[KubeObject]:
        """Raises KubeError."""
        found = await self._client.request("GET", path(_API, _PLURAL), query={"labelSelector": f"vch.dev/vch={vch}"})
        return list(found.get("items") or ())

    async def apply(self, parent: KubeObject) -> KubeObject:
        """Object, then status; returns what is stored. Raises KubeError."""
        name = parent["metadata"]["name"]
        status = parent["status"]
        body = {key: value for key, value in parent.items() if key != "status"}
        await self._client.request("PATCH", path(_API, _PLURAL, name=name), query=_QUERY, body=body, content_type=APPLY)
        only = {"apiVersion": _API, "kind": "ParentVM", "metadata": {"name": name}, "status": status}
        target = path(_API, _PLURAL, name=name, subresource="status")
        return await self._client.request("PATCH", target, query=_QUERY, body=only, content_type=APPLY)

    async def delete(self, name: str) -> None:
        """Raises KubeNotFound, KubeError."""
        await self._client.request("DELETE", path(_API, _PLURAL, name=name))
