"""Service and EndpointSlice of a virtual node's kubelet API, in the operator's namespace: written, and watched.

What is in them is `provider.kubelet_service`'s business.
"""

import asyncio
from collections.abc import Callable

from provider import errors
from provider.kube.client import APPLY, FIELD_MANAGER, KubeClient, KubeObject, path
from provider.kube.reflector import Reflector

_KINDS = {"Service": ("v1", "services"), "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices")}


class KubeletServices:
    """Of one virtual node. `selector`: the labels that both objects have."""

    def __init__(self, client: KubeClient, namespace: str, selector: str, on_change: Callable[[], None]) -> None:
        self._client = client
        self._namespace = namespace
        self._selector = selector
        self._on_change = on_change
        self._known: dict[str, str] = {}  # versions as they were last applied, by kind

    async def get_service(self, name: str) -> KubeObject | None:
        target = path("v1", "services", namespace=self._namespace, name=name)
        try:
            return await self._client.request("GET", target)
        except errors.KubeNotFound:
            return None

    async def apply(self, thing: KubeObject) -> KubeObject:
        """Server-side apply. Returns what is stored."""
        api_version, plural = _KINDS[thing["kind"]]
        target = path(api_version, plural, namespace=self._namespace, name=thing["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        applied = await self._client.request("PATCH", target, query=query, body=thing, content_type=APPLY)
        self._known[thing["kind"]] = applied["metadata"]["resourceVersion"]
        return applied

    async def watch(self) -> None:
        """Until cancelled; tells of every change that was not made by `apply`."""
        async with asyncio.TaskGroup() as group:
            for kind, (api_version, plural) in _KINDS.items():
                receiver = _OfKind(kind, self._known, self._on_change)
                target = path(api_version, plural, namespace=self._namespace)
                reflector = Reflector(self._client, target, _version, receiver, {"labelSelector": self._selector})
                group.create_task(reflector.run(), name=f"watch {plural} {self._selector}")


class _OfKind:
    """`reflector.Receiver` of versions."""

    def __init__(self, kind: str, known: dict[str, str], on_change: Callable[[], None]) -> None:
        self._kind = kind
        self._known = known
        self._on_change = on_change

    def listed(self, all_there_are: list[str]) -> None:
        if all_there_are != [self._known.get(self._kind)]:
            self._on_change()

    def seen(self, thing: str) -> None:
        if thing != self._known.get(self._kind):
            self._on_change()

    def gone(self, thing: str) -> None:
        self._on_change()


def _version(thing: KubeObject) -> str:
    return str(thing["metadata"]["resourceVersion"])
