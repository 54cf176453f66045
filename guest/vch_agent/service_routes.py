"""The cluster's Services and their endpoints, as kube-proxy sees them, and the Node that it takes itself to be on.

A store of its own: the kubelet's has what concerns the Pod and nothing else (`service_links` hands that on). What comes
in is a `routes` frame of the feed: a *full* set in as many frames as it needs, the first of them marked and the last,
then differences.
Not kept over a restart: kube-proxy's rules outlive it, and the provider says all of it again at its next connection.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from . import resources
from .resources import ENDPOINT_SLICES, NODES, SERVICE_CIDRS, SERVICES, Resource
from .store import Store

NODE_IP = "169.254.1.2"
"""The gateway namespace's own address. kube-proxy ends itself when its Node's address changes, so that it must not be
the parent's nor the clone's; NodePorts, which would be opened on it, are not fed."""

_BACKLOG = 1 << 20
"""Events that kube-proxy may be behind: at a thaw a whole cluster's come at once, and they copy no objects."""
ROUTED = (SERVICE_CIDRS, SERVICES, ENDPOINT_SLICES)

_Key = tuple[Resource, str, str]


class ServiceRoutes:
    """What kube-proxy's API server (`proxy_api`) serves."""

    def __init__(self) -> None:
        self.store = Store(_BACKLOG)
        self.known = asyncio.Event()
        """Empty is not unknown: kube-proxy would take all rules away."""
        self.changed: Callable[[], None] = lambda: None
        """Called after each frame."""
        self._unconfirmed: set[_Key] | None = None
        """While a full set comes in: what was there before and has not been named yet."""

    def own_node(self, name: str, labels: dict[str, str] | None = None) -> None:
        """The Node: by its labels kube-proxy knows its zone."""
        metadata = {"name": name, "uid": f"vch-{name}", "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
        addresses = [{"type": "InternalIP", "address": NODE_IP}, {"type": "Hostname", "address": name}]
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"addresses": addresses}}
        old = self.store.get(NODES, "", name)
        if old is None or old["metadata"]["labels"] != metadata["labels"]:
            self.store.put(NODES, node)

    def declare(self) -> None:
        """What is stored is all there is: a parent has no Services."""
        self.known.set()

    def forget(self) -> None:
        """Nothing is known any more; open watches, and what kube-proxy has, stay."""
        self.known.clear()
        self._unconfirmed = None

    def change(self, applied: Iterable[Any], removed: Iterable[Any], *, first: bool, last: bool) -> None:
        """One `routes` frame. Raises ValueError naming what is wrong; nothing is changed then."""
        put = [(_key(value), value) for value in applied]
        gone = [_key(value) for value in removed]
        if first:
            self._unconfirmed = {
                (resource, *resources.key_of(value)) for resource in ROUTED for value in self.store.all(resource)
            }
        for key, value in put:
            self.store.put(key[0], value)  # what is said again after each connect is no event
            if self._unconfirmed is not None:
                self._unconfirmed.discard(key)
        for resource, namespace, name in gone:
            self.store.remove(resource, namespace, name)
        if last and self._unconfirmed is not None:
            for resource, namespace, name in self._unconfirmed:
                self.store.remove(resource, namespace, name)
            self._unconfirmed = None
            self.known.set()
        self.changed()

    def watched(self) -> bool:
        """Whether kube-proxy has all and waits for changes."""
        return all(self.store.watched(resource) for resource in ROUTED)


def _key(value: Any) -> _Key:
    if not isinstance(value, dict):
        raise ValueError(f"routes: a JSON object is required, not {type(value).__name__}")
    resource = resources.of_object(value)
    if resource not in ROUTED:
        raise ValueError(f"routes: {value.get('apiVersion')} {value.get('kind')} is not for kube-proxy")
    return resource, *resources.key_of(value)
