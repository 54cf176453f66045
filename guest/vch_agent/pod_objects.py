"""From the provider's feed to what the kubelet sees: order, and the few fields of the Node that the guest decides.

The kubelet must never see an empty Pod list by mistake: *empty is not unknown*. Until the first snapshot (or the tmpfs
copy of one, see `state`) `known` is not set and the API server answers nothing about fed kinds.

The Pod's firewall is fed like the objects, and the kubelet never sees it: a Pod is shown once it is in force, so that a
container's first packet is subject to it. A Pod that was shown before is not taken away for a firewall that fails: the
one before holds (`pod_firewall`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from . import policy, resources
from .pod_firewall import Load, PodFirewall
from .resources import NODES, PODS, RUNTIME_CLASSES, SERVICES, Resource, Source
from .store import Object, Store

log = logging.getLogger(__name__)

_BEFORE_PODS = (NODES, SERVICES, RUNTIME_CLASSES)
"""Kinds that the kubelet reads from a cache of its own when a Pod arrives: a Node without its labels would make it
reject the Pod for good (NodeAffinity), missing Services leave out KUBERNETES_SERVICE_HOST."""
_SETTLES_WITHIN = 5.0
FED = tuple(resource for resource in resources.ALL if resource.source is Source.FED)


class PodObjects:
    """The fed part of a store. `changed` is called after every change, so that it can be persisted."""

    def __init__(self, store: Store, load_rules: Load, changed: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.firewall = PodFirewall(load_rules, self._protected)
        self._hidden: dict[tuple[str, str], Object] = {}
        """Pods that the kubelet is not shown yet."""
        self._listed = False
        """Every Pod is shown or hidden: there is no other."""
        self.known = asyncio.Event()
        """The Pod is known, and all the rest."""
        self._described = asyncio.Event()
        """The rest is known: set first, so that the kubelet can confirm it before it sees the Pod."""
        self.ready = False
        """What the kubelet last said of its own node; kept in the Node it reads, so that it need not say it again."""
        self._changed = changed

    async def snapshot(self, values: Iterable[Any]) -> None:
        """Replace everything. Pods come last, when the kubelet has seen what it judges them by.

        Raises ValueError naming what is wrong; nothing is changed then.
        """
        given = list(values)
        firewalls = [value for value in given if policy.is_firewall(value)]
        if len(firewalls) > 1:
            raise ValueError(f"object: {len(firewalls)} firewalls, a Pod has one")
        wanted: dict[Resource, list[Object]] = {resource: [] for resource in FED}
        for value in given:
            if not policy.is_firewall(value):
                resource = _fed(value)
                wanted[resource].append(self._adapted(resource, value))
        self.firewall.want(firewalls[0] if firewalls else None)
        self._hidden, self._listed = {}, False
        settling = []
        for resource in FED:
            if resource is not PODS:
                version = self.store.version(resource)
                self._replace(resource, wanted[resource])
                if resource in _BEFORE_PODS and self.store.version(resource) != version:
                    settling.append(self.store.settle(resource, _SETTLES_WITHIN))
        self._described.set()
        protected, *confirmed = await asyncio.gather(self.firewall.settled(_SETTLES_WITHIN), *settling)
        if not all(confirmed):
            log.warning("the kubelet did not confirm its Node and Services within %.0f s", _SETTLES_WITHIN)
        if not protected:
            log.error("the Pod has to wait for its firewall")
        self._remove_others(PODS, wanted[PODS])
        self._hidden = {resources.key_of(pod): pod for pod in wanted[PODS]}
        self._listed = True
        self._show()
        self._changed()

    async def until_known(self, resource: Resource) -> None:
        """Wait until lists of this kind are the truth."""
        if resource is PODS:
            await self.known.wait()
        elif resource is not NODES and resource.source is Source.FED:
            await self._described.wait()

    def declare(self) -> None:
        """What is stored now is all there is."""
        self._described.set()
        self._listed = True
        self._show()

    def forget(self) -> None:
        """Nothing is known any more; open watches stay open."""
        self._hidden, self._listed = {}, False
        self._described.clear()
        self.known.clear()

    def apply(self, value: Any) -> None:
        """Add or replace one object; an older version of a Pod than the one stored is dropped. Raises ValueError."""
        if policy.is_firewall(value):
            self.firewall.want(value)
        elif (resource := _fed(value)) is PODS:
            self._hidden[resources.key_of(value)] = self._adapted(PODS, value)
            self._show()
        else:
            self._put(resource, self._adapted(resource, value))
        self._changed()

    def status_patched(self, pod: Object) -> None:
        """The cluster's answer to a status patch; a Pod that was taken away meanwhile stays away."""
        stored = self.store.get(PODS, *resources.key_of(pod))
        if stored is not None and _same_life(stored, pod):
            self.apply({"apiVersion": "v1", "kind": "Pod", **pod})

    def remove(self, value: Any) -> None:
        """Take one object away, if it is the one named (its UID, when given). Raises ValueError."""
        if policy.is_firewall(value):
            resources.key_of(value)
            if self.firewall.takes(value):
                self.firewall.want(None)
                self._changed()
            return
        resource = _fed(value)
        key = resources.key_of(value)
        if resource is PODS and _is_meant(value, self._hidden.get(key)):
            del self._hidden[key]
            self._show()
        if _is_meant(value, self.store.get(resource, *key)):
            self.store.remove(resource, *key)
            self._changed()

    def own_node(self, name: str, address: str) -> None:
        """A Node of our own for the kubelet to start with; the provider's replaces it."""
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "uid": f"vch-{name}", "labels": {"kubernetes.io/hostname": name}},
            "spec": {},
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
                "capacity": {"cpu": "1", "memory": "1Gi", "pods": "1"},
                "allocatable": {"cpu": "1", "memory": "1Gi", "pods": "1"},
            },
        }
        self.store.put(NODES, self._adapted(NODES, node))

    def node_is_ready(self, ready: bool) -> None:
        """The kubelet patched its node's status."""
        if ready == self.ready:
            return
        self.ready = ready
        for node in self.store.all(NODES):
            self.store.put(NODES, self._adapted(NODES, node))

    def exported(self) -> list[Object]:
        """All fed objects, for `state`."""
        firewall = [] if self.firewall.value is None else [self.firewall.value]
        return [*firewall, *(value for resource in FED for value in self.store.all(resource))]

    async def restore(self, values: Iterable[Object]) -> None:
        """Take back what `exported` gave before the agent's restart: the firewall first. Raises ValueError."""
        kept: dict[Resource, list[Object]] = {}
        firewall = None
        for value in values:
            if policy.is_firewall(value):
                firewall = value
            else:
                kept.setdefault(_fed(value), []).append(value)
        self.firewall.want(firewall)
        pods = kept.pop(PODS, [])
        for resource, objects in kept.items():
            self.store.restore(resource, objects)
        if await self.firewall.settled(_SETTLES_WITHIN):
            self.store.restore(PODS, pods)
        else:
            self._hidden = {resources.key_of(pod): pod for pod in pods}
        self.declare()

    def _protected(self) -> None:
        """The firewall has come into force."""
        if self._hidden:
            self._show()
            self._changed()

    def _show(self) -> None:
        """The Pods that may be seen: all, once their firewall is in force; those that were seen before."""
        if not self._listed:
            return  # the firewall may be that of the time before
        for key, pod in list(self._hidden.items()):
            before = self.store.get(PODS, *key)
            if self.firewall.in_force or (before is not None and _same_life(before, pod)):
                del self._hidden[key]
                self._put(PODS, pod)
        if not self._hidden:
            self.known.set()

    def _replace(self, resource: Resource, values: list[Object]) -> None:
        self._remove_others(resource, values)
        for value in values:
            self._put(resource, value)

    def _remove_others(self, resource: Resource, values: list[Object]) -> None:
        keep = {resources.key_of(value) for value in values}
        for old in self.store.all(resource):
            if resources.key_of(old) not in keep:
                self.store.remove(resource, *resources.key_of(old))

    def _put(self, resource: Resource, value: Object) -> None:
        old = self.store.get(resource, *resources.key_of(value))
        if old is not None and _same_life(old, value) and 0 < _version(value) < _version(old):
            return  # the feed's watch lags behind the reply to a status patch
        self.store.put(resource, value)

    def _adapted(self, resource: Resource, value: Object) -> Object:
        resources.key_of(value)
        if resource is NODES:
            status = value.get("status", {})
            conditions = [known for known in status.get("conditions") or () if known.get("type") != "Ready"]
            conditions.append({"type": "Ready", "status": "True" if self.ready else "False", "reason": "Kubelet"})
            metadata = {**value["metadata"], "resourceVersion": None}  # synthetic: the store counts
            return {**value, "metadata": metadata, "status": {**status, "conditions": conditions}}
        return value


def _fed(value: Any) -> Resource:
    if not isinstance(value, dict):
        raise ValueError(f"object: a JSON object is required, not {type(value).__name__}")
    resource = resources.of_object(value)
    if resource is None or resource.source is not Source.FED:
        raise ValueError(f"object: {value.get('apiVersion')} {value.get('kind')} is not fed to a guest")
    return resource


def _is_meant(value: Object, found: Object | None) -> bool:
    """Whether this is the object that was named."""
    uid = value["metadata"].get("uid")
    return found is not None and (not uid or found["metadata"].get("uid") in (None, uid))


def _same_life(one: Object, other: Object) -> bool:
    return bool(one["metadata"].get("uid") == other["metadata"].get("uid"))


def _version(value: Object) -> int:
    version = str(value["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdecimal() else 0
