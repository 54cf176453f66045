"""The guest kubelet's API server: one pod, its node, and what they name.

Three answers: from the `store` (list, watch, get), from the cluster by the `relay` (status, events, tokens, delete), or
made up here because it concerns this guest alone (its Node's status, Lease, CSINode, events about the Node).
"""

import asyncio
import base64
import hmac
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from . import discovery, reads, status
from .http_server import HTTPError, Request, Response
from .pod_objects import PodObjects
from .relay import Relay, Unavailable, Verb
from .resources import CSI_NODES, LEASES, NODES, PODS, Resource, Source, Target, parse_path

_HOLD = 10.0
"""Seconds a request about unknown objects waits for the snapshot before 503: sooner served than after a back-off."""
_OWN_EVENTS = 256
"""Names remembered of events about the Node; the kubelet makes a dozen of them."""
_LOCAL = (LEASES, CSI_NODES)
_RELAYED: dict[tuple[str, str, str], Verb] = {
    ("PATCH", "pods", "status"): Verb.PATCH_STATUS,
    ("DELETE", "pods", ""): Verb.DELETE_POD,
    ("POST", "events", ""): Verb.CREATE_EVENT,
    ("PATCH", "events", ""): Verb.PATCH_EVENT,
    ("POST", "serviceaccounts", "token"): Verb.CREATE_TOKEN,
}


def bearer(token: str, user: str = "kubelet") -> Callable[[dict[str, str]], bool]:
    """An authorizer for a client's token, as `Bearer` or as the password of `Basic` (see `kubeletconfig`)."""
    basic = base64.b64encode(f"{user}:{token}".encode()).decode()
    accepted = [f"Bearer {token}".encode(), f"Basic {basic}".encode()]

    def authorized(headers: dict[str, str]) -> bool:
        given = headers.get("authorization", "").encode("latin-1")
        return any([hmac.compare_digest(given, wanted) for wanted in accepted])

    return authorized


class APIServer:
    """The handler of `http_server`."""

    def __init__(self, objects: PodObjects, relay: Relay) -> None:
        self._objects = objects
        self._store = objects.store
        self._relay = relay
        self._own_events: deque[str] = deque(maxlen=_OWN_EVENTS)
        self.kubelet_version = ""
        self.runtime_version = ""
        """As the kubelet writes it in its node's status."""
        self.version_changed: Callable[[str], None] = lambda _: None
        self.ending: Callable[[], Awaitable[None]] = _nothing
        """Awaited before the Pod's final delete is asked for: nothing of it runs any more."""
        self.refused = False
        """Set for good when this clone may not serve."""

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises HTTPError."""
        if self.refused:
            raise HTTPError(503, "this virtual machine is a clone of a clone and does not serve")
        target = parse_path(request.path)
        if target is None:
            return described(request)
        verb = _RELAYED.get((request.method, target.plural, target.subresource))
        if verb is not None and target.api_version == "v1":
            return await self._relayed(verb, request, target)
        resource = target.resource
        if resource is None or resource.source is Source.ROUTED:
            raise HTTPError(404, f"{request.path}: a pod VM does not serve this resource")
        if resource is NODES and request.method in ("PATCH", "PUT"):
            return self._node_status(request, target)
        if request.method != "GET":
            if resource in _LOCAL:
                return self._local(resource, request, target)
            if request.method == "DELETE" and resource.source is Source.EMPTY:
                return Response(200, status.success())  # at its start the kubelet removes ResourceSlices of a past life
            raise HTTPError(405, f"{request.method} of {target.plural} is not served in a pod VM")
        await self._until_known(resource)
        return reads.read(self._store, resource, request, target)

    async def _until_known(self, resource: Resource) -> None:
        """Empty is not unknown: no answer about the pod before the provider's (see `pod_objects`)."""
        try:
            async with asyncio.timeout(_HOLD):
                await self._objects.until_known(resource)
        except TimeoutError:
            raise retry("the provider has not said yet what runs here") from None

    async def _relayed(self, verb: Verb, request: Request, target: Target) -> Response:
        body = reads.body(request)
        if verb is Verb.CREATE_EVENT and body.get("involvedObject", {}).get("kind") != "Pod":
            # About the guest's own Node: nobody's business outside.
            self._own_events.append(body.get("metadata", {}).get("name"))
            return Response(201, body)
        if verb is Verb.PATCH_EVENT and target.name in self._own_events:
            return Response(200, body)
        if verb is Verb.DELETE_POD:
            await self.ending()
        try:
            code, value = await self._relay.request(
                verb, target.namespace, target.name, request.headers.get("content-type", ""), body
            )
        except Unavailable as error:
            raise retry(str(error)) from error
        if verb is Verb.PATCH_STATUS and code == 200 and isinstance(value, dict):
            self._objects.status_patched(value)  # else the next patch would be computed against a stale status
        headers = {"Retry-After": "1"} if code in (429, 503) else {}
        return Response(code, value, headers=headers)

    def _node_status(self, request: Request, target: Target) -> Response:
        said = reads.body(request).get("status", {})
        info = said.get("nodeInfo") or {}
        self.runtime_version = info.get("containerRuntimeVersion") or self.runtime_version
        version = info.get("kubeletVersion")
        if version and version != self.kubelet_version:
            self.kubelet_version = version
            self.version_changed(version)
        for condition in said.get("conditions") or ():
            if condition.get("type") == "Ready" and "status" in condition:
                self._objects.node_is_ready(condition["status"] == "True")
        return reads.get(self._store, NODES, target)

    def _local(self, resource: Resource, request: Request, target: Target) -> Response:
        """Lease and CSINode: kept for the kubelet, which alone reads them."""
        if request.method == "DELETE":
            self._store.remove(resource, target.namespace, target.name)
            return Response(200, status.success())
        value = reads.body(request)
        name = target.name or value.get("metadata", {}).get("name", "")
        old = self._store.get(resource, target.namespace, name)
        match request.method:
            case "POST" if old is not None:
                raise HTTPError(409, f'{target.plural} "{name}" already exists')
            case "PATCH" | "PUT" if old is None:
                raise HTTPError(404, f'{target.plural} "{name}" not found')
            case "PATCH":
                value = merge(old, value)
        metadata = {**value.get("metadata", {}), "name": name, "resourceVersion": None}
        metadata.setdefault("uid", f"vch-{target.plural}-{name}")
        if target.namespace:
            metadata["namespace"] = target.namespace
        value = {**value, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        return Response(201 if request.method == "POST" else 200, self._store.put(resource, value))

    def pods_watched(self) -> bool:
        """Whether the kubelet waits for its pod: it has listed once and watches."""
        return self._store.watched(PODS)


async def _nothing() -> None:
    return


def merge(old: Any, patch: Any) -> Any:
    """RFC 7396; enough for the annotations the kubelet patches on its CSINode."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def retry(message: str) -> HTTPError:
    """503, to be asked again in a second."""
    # client-go repeats a request by itself when a 5xx carries Retry-After.
    return HTTPError(503, message, headers={"Retry-After": "1"})


def described(request: Request) -> Response:
    """The answer to a path that is no resource's. Raises HTTPError."""
    value = discovery.document(request.path) if request.method == "GET" else None
    if value is None:
        raise HTTPError(404, f"{request.path}: not served in a pod VM")
    return Response(200, value)
