"""What a Pod names is watched once for all Pods that name it, in the virtual node's name, and as long as one does."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from provider import errors
from provider.kube.client import as_node
from provider.kube.objects import ObjectRef, ObjectWatches

REF = ObjectRef("ConfigMap", "default", "settings")


def config_map(version: str) -> dict:
    return {"metadata": {"namespace": "default", "name": "settings", "uid": "u", "resourceVersion": version}}


class Cluster:
    """An API server with one ConfigMap, or none."""

    def __init__(self) -> None:
        self.items = [config_map("5")]
        self.asked: list[Mapping[str, str]] = []
        self.refusals = 0
        self.watches = 0
        self.events: asyncio.Queue[dict] = asyncio.Queue()

    async def request(
        self, method: str, url_path: str, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict:
        assert (method, url_path) == ("GET", "/api/v1/namespaces/default/configmaps")
        assert headers == as_node("vch")
        self.asked.append(query)
        if self.refusals:
            self.refusals -= 1
            raise errors.KubeForbidden("the Node authorizer does not know the Pod yet")
        return {"items": self.items, "metadata": {"resourceVersion": "5"}}

    async def stream(
        self, url_path: str, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[dict]:
        assert headers == as_node("vch")
        self.watches += 1
        try:
            while True:
                yield await self.events.get()
        finally:
            self.watches -= 1


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def watches(cluster: Cluster) -> AsyncIterator[ObjectWatches]:
    watches = ObjectWatches(cluster, "vch")
    yield watches
    await watches.close()
    assert cluster.watches == 0


async def told(changed: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await changed.wait()
    changed.clear()


async def test_an_object_is_found_and_its_changes_and_its_end_are_told(
    cluster: Cluster, watches: ObjectWatches
) -> None:
    changed = asyncio.Event()
    subscription = watches.subscribe(REF, changed.set)
    await told(changed)
    assert cluster.asked[0]["fieldSelector"] == "metadata.name=settings"
    assert subscription.value == {"apiVersion": "v1", "kind": "ConfigMap", **config_map("5")}
    cluster.events.put_nowait({"type": "MODIFIED", "object": config_map("6")})
    await told(changed)
    assert subscription.value == {"apiVersion": "v1", "kind": "ConfigMap", **config_map("6")}
    cluster.events.put_nowait({"type": "DELETED", "object": config_map("7")})
    await told(changed)
    assert subscription.value is None


async def test_that_there_is_none_is_known_too(cluster: Cluster, watches: ObjectWatches) -> None:
    cluster.items = []
    changed = asyncio.Event()
    subscription = watches.subscribe(REF, changed.set)
    await told(changed)
    assert (subscription.known.is_set(), subscription.value) == (True, None)


async def test_a_refusal_is_no_absence(cluster: Cluster, watches: ObjectWatches) -> None:
    cluster.refusals = 2
    changed = asyncio.Event()
    subscription = watches.subscribe(REF, changed.set)
    await told(changed)
    assert len(cluster.asked) == 3
    assert subscription.value is not None


async def test_what_is_listed_again_unchanged_is_no_news(cluster: Cluster, watches: ObjectWatches) -> None:
    told_of: list[int] = []
    changed = asyncio.Event()
    watches.subscribe(REF, lambda: told_of.append(1))
    watches.subscribe(REF, changed.set)
    await told(changed)
    cluster.events.put_nowait({"type": "ERROR", "object": {"code": 410}})
    cluster.events.put_nowait({"type": "MODIFIED", "object": config_map("6")})
    await told(changed)
    assert len(cluster.asked) == 2
    assert len(told_of) == 2


async def test_one_watch_serves_all_and_ends_with_the_last(cluster: Cluster, watches: ObjectWatches) -> None:
    changed = asyncio.Event()
    one, other = watches.subscribe(REF, changed.set), watches.subscribe(REF, lambda: None)
    await told(changed)
    one.close()
    assert len(watches) == 1
    other.close()
    assert len(watches) == 0
    assert len(cluster.asked) == 1
