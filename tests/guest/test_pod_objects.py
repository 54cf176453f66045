"""From the feed to what the kubelet sees."""

import asyncio
from typing import Any

import pytest
from vch_agent.pod_objects import PodObjects
from vch_agent.resources import CONFIG_MAPS, NODES, PODS, SERVICES
from vch_agent.store import Store

from tests.guest import build


@pytest.fixture
def objects() -> PodObjects:
    return PodObjects(Store(), build.no_rules)


async def test_nothing_is_known_until_the_first_snapshot(objects: PodObjects) -> None:
    assert not objects.known.is_set()
    objects.apply(build.pod())
    assert not objects.known.is_set()
    await objects.snapshot([build.pod()])
    assert objects.known.is_set()


async def test_a_snapshot_replaces_everything(objects: PodObjects) -> None:
    await objects.snapshot([build.pod(), build.config_map(name="old"), build.node()])
    await objects.snapshot([build.pod(11), build.config_map(name="new")])
    assert [value["metadata"]["name"] for value in objects.store.all(CONFIG_MAPS)] == ["new"]
    assert objects.store.all(NODES) == ()


async def test_a_snapshot_with_a_stranger_in_it_changes_nothing(objects: PodObjects) -> None:
    await objects.snapshot([build.pod()])
    with pytest.raises(ValueError, match="apps/v1 Deployment"):
        await objects.snapshot([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}])
    assert objects.store.all(PODS)


async def test_the_pod_appears_only_when_the_kubelet_has_taken_in_node_and_services(objects: PodObjects) -> None:
    """A Node without its labels makes the kubelet reject a Pod for good."""
    store = objects.store
    objects.own_node(build.NODE, "169.254.1.1")
    nodes, _ = store.watch(NODES, bool, None)
    services, _ = store.watch(SERVICES, bool, None)
    feeding = asyncio.create_task(objects.snapshot([build.pod(), build.node(zone="a"), build.service()]))
    assert [kind async for kind, _ in nodes] == ["MODIFIED"]
    assert [kind async for kind, _ in services] == ["ADDED"]
    assert store.all(PODS) == ()
    await asyncio.wait_for(objects.until_known(SERVICES), 1)  # or the kubelet could not ask again
    store.watch(NODES, bool, store.version(NODES))
    assert not feeding.done()
    store.watch(SERVICES, bool, store.version(SERVICES))
    await feeding
    assert store.all(PODS)


async def test_the_pod_is_what_the_cluster_says(objects: PodObjects) -> None:
    await objects.snapshot([build.pod(hostname="web")])
    (pod,) = objects.store.all(PODS)
    assert pod["spec"] == {"nodeName": build.NODE, "hostname": "web"}


async def test_an_older_version_of_the_pod_than_the_known_one_is_dropped(objects: PodObjects) -> None:
    await objects.snapshot([build.pod(10)])
    objects.status_patched({**build.pod(12), "status": {"phase": "Running"}})
    objects.apply(build.pod(11))
    (pod,) = objects.store.all(PODS)
    assert pod["status"] == {"phase": "Running"}


async def test_a_status_reply_does_not_bring_back_a_pod_that_is_gone(objects: PodObjects) -> None:
    await objects.snapshot([])
    objects.status_patched(build.pod())
    assert objects.store.all(PODS) == ()


@pytest.mark.parametrize(("uid", "left"), [("uid-1", 0), ("uid-0", 1), (None, 0)])
async def test_remove_takes_the_object_of_that_uid_only(objects: PodObjects, uid: str | None, left: int) -> None:
    await objects.snapshot([build.pod()])
    metadata: dict[str, Any] = {"namespace": "default", "name": "web"} | ({"uid": uid} if uid else {})
    objects.remove({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
    assert len(objects.store.all(PODS)) == left


async def test_the_node_is_as_ready_as_the_kubelet_says(objects: PodObjects) -> None:
    def ready() -> str:
        (node,) = objects.store.all(NODES)
        return next(str(each["status"]) for each in node["status"]["conditions"] if each["type"] == "Ready")

    objects.own_node(build.NODE, "169.254.1.1")
    assert ready() == "False"
    objects.node_is_ready(True)
    assert ready() == "True"
    await objects.snapshot([build.node(zone="a")])
    assert ready() == "True"


@pytest.mark.parametrize("value", [None, [], {}, {"apiVersion": "v1", "kind": "Pod", "metadata": {}}])
async def test_what_is_no_object_is_refused(objects: PodObjects, value: Any) -> None:
    with pytest.raises(ValueError, match=r"object|metadata\.name"):
        objects.apply(value)


async def test_every_change_is_told_so_that_it_can_be_kept() -> None:
    told: list[int] = []
    objects = PodObjects(Store(), build.no_rules, lambda: told.append(1))
    await objects.snapshot([build.pod()])
    objects.apply(build.config_map())
    objects.remove(build.config_map())
    assert len(told) == 3


async def test_what_was_exported_is_restored(objects: PodObjects) -> None:
    await objects.snapshot([build.pod(), build.config_map(key="value"), build.node(zone="a")])
    other = PodObjects(Store(), build.no_rules)
    await other.restore(objects.exported())
    assert other.exported() == objects.exported()
    assert other.known.is_set()
