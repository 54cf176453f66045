"""The Services that the kubelet makes its containers' environment from: a part of what came for kube-proxy.

They come in `routes` frames, whole before the first snapshot of a Pod, whether kube-proxy runs here or not; from there
they are handed on to `pod_objects`, which shows the kubelet a Pod after them. Which variables a container gets of them
is the kubelet's business (`getServiceEnvVarMap` in its kubelet_pods.go); what it would not look at, it is not given.
"""

from collections.abc import Iterable
from typing import Any

from .pod_objects import PodObjects
from .resources import PODS, SERVICES, key_of, of_object
from .service_routes import ServiceRoutes
from .store import Object, Store

_ALWAYS = ("default", "kubernetes")
"""Every container is told of it, whatever `enableServiceLinks` says."""


class ServiceLinks:
    """Between one guest's routes and its kubelet's objects."""

    def __init__(self, routes: ServiceRoutes, objects: PodObjects) -> None:
        self._routes = routes
        self._objects = objects
        self._namespaces: frozenset[str] | None = None
        """None: no snapshot has come, the kubelet is shown nothing yet."""

    async def snapshot(self, values: list[Any]) -> None:
        """A snapshot, and the Services that belong to it. Raises ValueError naming what is wrong."""
        namespaces = frozenset(_namespaces(values))
        if self._routes.known.is_set():
            services = self._wanted(namespaces)
        elif self._objects.known.is_set():
            services = self._given()  # of the time before the agent's restart: they hold until they are told anew
        else:
            raise ValueError("the Services have to come first: a container is told of them when it starts")
        await self._objects.snapshot([*values, *services.values()])
        self._namespaces = namespaces

    def follow(self) -> None:
        """The routes have changed: containers that start from now on are told of what there is now."""
        if self._namespaces is None or not self._routes.known.is_set():
            return
        wanted, given = self._wanted(self._namespaces), self._given()
        for key, value in wanted.items():
            if given.get(key) != value:
                self._objects.apply(value)
        for key in given.keys() - wanted.keys():
            self._objects.remove(given[key])

    def _wanted(self, namespaces: frozenset[str]) -> dict[tuple[str, str], Object]:
        keyed = _by_key(self._routes.store)
        return {key: value for key, value in keyed.items() if key[0] in namespaces or key == _ALWAYS}

    def _given(self) -> dict[tuple[str, str], Object]:
        return _by_key(self._objects.store)


def _by_key(store: Store) -> dict[tuple[str, str], Object]:
    """The Services of a store without their versions: each store counts itself."""
    return {key_of(value): _without_version(value) for value in store.all(SERVICES)}


def _namespaces(values: Iterable[Any]) -> Iterable[str]:
    """Of the Pods that want to be told of their neighbours; what is no Pod is judged by `pod_objects`."""
    for value in values:
        is_pod = isinstance(value, dict) and of_object(value) is PODS
        if is_pod and (value.get("spec") or {}).get("enableServiceLinks") is not False:
            yield str((value.get("metadata") or {}).get("namespace"))


def _without_version(value: Object) -> Object:
    return {**value, "metadata": {name: each for name, each in value["metadata"].items() if name != "resourceVersion"}}
