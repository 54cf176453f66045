"""The API server as far as Pods of one node are concerned: UIDs, versions, graceful deletion, finalizers."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from provider import errors
from provider.kube.operator_objects import ListedPod
from tests.builders import make_pod

KubeObject = dict[str, Any]
NODE = "vch"


class Watch(Protocol):
    """`pod_controller.PodController`."""

    def pod_seen(self, pod: KubeObject) -> None: ...

    def pod_deleted(self, uid: str) -> None: ...


class FakePods:
    """What workers, relay, controller and collector need of the API server."""

    def __init__(self, done: list[tuple[str, str]]) -> None:
        self.stored: dict[str, KubeObject] = {}
        self.watch: Watch | None = None
        self.before_removal: Callable[[KubeObject], None] = lambda pod: None
        self.before_end: Callable[[KubeObject], None] = lambda pod: None  # the provider says itself that it has ended
        self.broken_promises: list[str] = []
        self.down = False
        self._done = done
        self.errors: dict[str, list[errors.KubeError]] = {}
        self._version = 10
        self._uids = 0
        self._hidden: set[str] = set()

    # What users do.

    def create(self, name: str = "web", **spec: Any) -> KubeObject:
        """A Pod that the scheduler has bound here."""
        assert name not in self.stored, "a name is given once at a time"
        self._uids += 1
        pod = make_pod(name, uid=f"{self._uids:08}-1111-2222-3333-444455556666", **spec)
        pod["metadata"]["generation"] = 1
        return self._store(pod)

    def delete(self, name: str = "web", grace: float = 30) -> None:
        """What `kubectl delete` asks for."""
        pod = self.stored[name]
        metadata = pod["metadata"]
        if grace == 0 and not metadata.get("finalizers"):
            self._remove(pod)
            return
        grace = min(grace, metadata.get("deletionGracePeriodSeconds", grace))  # it can be shortened only
        deleting = metadata | {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": int(grace)}
        self._store({**pod, "metadata": deleting})

    def hold(self, name: str, *finalizers: str) -> None:
        """Somebody's finalizers; none: they are taken off, and what waited for that goes."""
        pod = self.stored[name]
        held = {**pod, "metadata": pod["metadata"] | {"finalizers": list(finalizers)}}
        if not finalizers and held["metadata"].get("deletionGracePeriodSeconds") == 0:
            self._remove(held)
        else:
            self._store(held)

    def hide_from_list(self, name: str) -> None:
        """A list that is older than the Pod."""
        self._hidden.add(self.stored[name]["metadata"]["uid"])

    def fail(self, call: str, *found: errors.KubeError) -> None:
        self.errors.setdefault(call, []).extend(found)

    def status(self, name: str = "web") -> KubeObject:
        return dict(self.stored[name]["status"])

    def phase(self, name: str = "web") -> str:
        return str(self.stored[name]["status"].get("phase", "")) if name in self.stored else "gone"

    # What the provider asks for.

    async def get_pod(self, namespace: str, name: str) -> KubeObject | None:
        self._begin("get_pod", name)
        return copy.deepcopy(self.stored.get(name))

    async def list_pods(self, node: str) -> Mapping[str, ListedPod]:
        self._begin("list_pods", node)
        return {
            pod["metadata"]["uid"]: ListedPod("default", name, pod["metadata"]["resourceVersion"])
            for name, pod in self.stored.items()
            if pod["metadata"]["uid"] not in self._hidden
        }

    async def patch_pod_status(
        self, namespace: str, name: str, patch: KubeObject, content_type: str = "by the provider"
    ) -> KubeObject:
        self._begin("status" if content_type == "by the provider" else "guest status", name)
        pod = self._found(name, patch["metadata"]["uid"])
        if content_type == "by the provider" and patch["status"].get("phase") in ("Succeeded", "Failed"):
            self.before_end(pod)
        if pod["status"].get("phase") in ("Succeeded", "Failed") and patch["status"].get("phase") == "Running":
            self.broken_promises.append(f"{name} runs after it has ended")
        return copy.deepcopy(self._store({**pod, "status": _merged(pod["status"], patch["status"])}))

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_period_seconds: int | None) -> KubeObject:
        self._begin("delete", name)
        pod = self._found(name, uid)
        if pod["status"].get("phase") not in ("Succeeded", "Failed"):
            self.broken_promises.append(f"{name} was deleted before anybody had said how it ended")
        self.before_removal(pod)
        self.delete(name, 30 if grace_period_seconds is None else grace_period_seconds)
        return copy.deepcopy(pod)

    async def create_event(self, namespace: str, event: KubeObject) -> KubeObject:
        return event

    async def patch_event(self, namespace: str, name: str, patch: KubeObject, content_type: str) -> KubeObject:
        return patch

    async def create_token(self, node: str, namespace: str, service_account: str, body: KubeObject) -> KubeObject:
        return body

    def _begin(self, call: str, what: str) -> None:
        if call not in ("get_pod", "list_pods"):
            self._done.append((call, what))
        if self.down:
            raise errors.KubeUnavailable("no route to the API server")
        if self.errors.get(call):
            raise self.errors[call].pop(0)

    def _found(self, name: str, uid: str) -> KubeObject:
        pod = self.stored.get(name)
        if pod is None:
            raise errors.KubeNotFound(f"{name} is not found", code=404)
        if pod["metadata"]["uid"] != uid:
            raise errors.KubeConflict("Precondition failed: UID in precondition", code=409)
        return pod

    def _store(self, pod: KubeObject) -> KubeObject:
        self._version += 1
        pod = {**pod, "metadata": pod["metadata"] | {"resourceVersion": str(self._version)}}
        self.stored[pod["metadata"]["name"]] = pod
        if self.watch:
            self.watch.pod_seen(copy.deepcopy(pod))
        return pod

    def _remove(self, pod: KubeObject) -> None:
        del self.stored[pod["metadata"]["name"]]
        if self.watch:
            self.watch.pod_deleted(pod["metadata"]["uid"])


def _merged(status: KubeObject, patch: KubeObject) -> KubeObject:
    """A strategic merge, as far as a status needs it."""
    conditions = {each["type"]: each for each in (*status.get("conditions", ()), *patch.get("conditions", ()))}
    made = {key: value for key, value in (status | patch).items() if value is not None}
    return made | ({"conditions": list(conditions.values())} if conditions else {})
