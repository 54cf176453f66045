"""Objects, watches and their resource versions."""

import asyncio
from typing import Any

import pytest
from vch_agent import selectors
from vch_agent.resources import CONFIG_MAPS, NODES, PODS, parse_path
from vch_agent.store import Expired, Store, Watcher

from tests.guest import build

ANY = selectors.compile_selector("", "", "")


async def drain(watcher: Watcher) -> list[tuple[str, str]]:
    """What the watcher saw until it was closed: event types and names."""
    watcher.close()
    return [(kind, value["metadata"]["name"]) async for kind, value in watcher]


async def test_a_watch_starts_with_what_is_there_and_goes_on() -> None:
    store = Store()
    store.put(PODS, build.pod(1))
    watcher, initial = store.watch(PODS, ANY, None)
    assert [value["metadata"]["name"] for value in initial] == ["web"]
    store.put(PODS, build.pod(2))
    store.remove(PODS, "default", "web")
    store.put(PODS, build.pod(3, name="other"))
    assert await drain(watcher) == [("MODIFIED", "web"), ("DELETED", "web"), ("ADDED", "other")]


async def test_nothing_is_said_when_nothing_changes() -> None:
    store = Store()
    store.put(PODS, build.pod(1))
    watcher, _ = store.watch(PODS, ANY, None)
    store.put(PODS, build.pod(1))
    assert not store.remove(PODS, "default", "absent")
    assert await drain(watcher) == []


async def test_a_watch_is_resumed_only_from_the_newest_version() -> None:
    store = Store()
    store.put(PODS, build.pod(7))
    _, initial = store.watch(PODS, ANY, "7")
    assert initial == []
    with pytest.raises(Expired):
        store.watch(PODS, ANY, "6")


async def test_a_removal_expires_older_watches() -> None:
    store = Store()
    store.put(PODS, build.pod(7))
    store.remove(PODS, "default", "web")
    with pytest.raises(Expired):
        store.watch(PODS, ANY, "7")


async def test_no_watch_is_resumed_across_a_restart() -> None:
    store = Store()
    store.restore(PODS, [build.pod(7)])
    with pytest.raises(Expired):
        store.watch(PODS, ANY, "7")
    assert store.watch(PODS, ANY, None)[1]


async def test_an_object_without_a_version_gets_a_growing_one() -> None:
    store = Store()
    versions = [store.put(NODES, build.node(a=str(turn)))["metadata"]["resourceVersion"] for turn in range(3)]
    assert versions == sorted(set(versions), key=int)


async def test_a_watcher_that_does_not_read_is_cut_off() -> None:
    store = Store(backlog=3)
    watcher, _ = store.watch(PODS, ANY, None)
    for version in range(1, 9):
        store.put(PODS, build.pod(version))
    assert len([event async for event in watcher]) == 3


async def test_settle_ends_when_the_watch_is_taken_up_again() -> None:
    store = Store()
    watcher, _ = store.watch(NODES, ANY, None)
    store.put(NODES, build.node(zone="a"))
    settling = asyncio.create_task(store.settle(NODES, 10))
    assert [kind async for kind, _ in watcher] == ["ADDED"]
    store.unwatch(NODES, watcher)
    assert not settling.done()
    store.watch(NODES, ANY, store.version(NODES))
    assert await settling


async def test_settle_has_nothing_to_wait_for_without_a_watch_and_gives_up_in_time() -> None:
    store = Store()
    assert await store.settle(NODES, 10)
    store.watch(NODES, ANY, None)
    assert not await store.settle(NODES, 0.01)


@pytest.mark.parametrize(
    ("namespace", "fields", "labels", "matches"),
    [
        ("", "", "", True),
        ("default", "metadata.name=settings", "", True),
        ("other", "", "", False),
        ("", "metadata.name!=settings", "", False),
        ("", "spec.nodeName=vch-0", "", False),
        ("", "spec.clusterIP!=None", "", True),
        ("", "", "!headless", True),
        ("", "", "headless", False),
        ("", "", "tier=web", False),
    ],
)
def test_selectors(namespace: str, fields: str, labels: str, matches: bool) -> None:
    assert selectors.compile_selector(namespace, fields, labels)(build.config_map()) is matches


@pytest.mark.parametrize(("fields", "labels"), [("status.phase=Running", ""), ("metadata.name", ""), ("", "a in (b)")])
def test_a_selector_that_is_not_understood_is_an_error(fields: str, labels: str) -> None:
    with pytest.raises(ValueError, match="selector"):
        selectors.compile_selector("", fields, labels)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/api/v1/pods", ("v1", "pods", "", "", "")),
        ("/api/v1/namespaces/default/pods/web/status", ("v1", "pods", "default", "web", "status")),
        ("/apis/storage.k8s.io/v1/csinodes/a%2Fb", ("storage.k8s.io/v1", "csinodes", "", "a/b", "")),
    ],
)
def test_paths(path: str, named: tuple[Any, ...]) -> None:
    target = parse_path(path)
    assert target is not None
    assert (target.api_version, target.plural, target.namespace, target.name, target.subresource) == named


@pytest.mark.parametrize("path", ["/", "/api", "/version", "/api/v1", "/api/v2/pods", "/a/b/c/d/e/f/g/h"])
def test_what_is_no_resource_path(path: str) -> None:
    assert parse_path(path) is None


def test_config_maps_are_told_apart_by_namespace() -> None:
    store = Store()
    store.put(CONFIG_MAPS, build.config_map())
    assert store.get(CONFIG_MAPS, "other", "settings") is None
