"""Services are listed and watched once for all guests, as soon as a guest wants to know."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from provider import errors
from provider.guest.routes import RouteTable
from provider.kube import service_watch
from provider.service_feed import ROUTED, Key, linked


def service(name: str, version: str = "5", **spec: Any) -> dict:
    metadata = {"namespace": "default", "name": name, "resourceVersion": version}
    return {"metadata": metadata, "spec": {"clusterIP": "10.96.0.1", "ports": [], **spec}}


class Cluster:
    """An API server with Services; other kinds have none."""

    def __init__(self) -> None:
        self.pages: dict[str, dict] = {"": {"items": [service("a")], "metadata": {"resourceVersion": "5"}}}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.watched: list[Mapping[str, str]] = []
        self.events: asyncio.Queue[dict | None] = asyncio.Queue()
        self.without: set[str] = set()

    async def request(self, method: str, url_path: str, *, query: Mapping[str, str]) -> dict:
        self.asked.append((url_path, query))
        if url_path in self.without:
            raise errors.KubeNotFound("no such kind")
        if url_path != "/api/v1/services":
            return {"items": [], "metadata": {"resourceVersion": "5"}}
        return self.pages[query.get("continue", "")]

    async def stream(self, url_path: str, *, query: Mapping[str, str]) -> AsyncIterator[dict]:
        if url_path != "/api/v1/services":
            await asyncio.Event().wait()
        self.watched.append(query)
        while (event := await self.events.get()) is not None:
            yield event


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


@contextlib.asynccontextmanager
async def following(cluster: Cluster, table: RouteTable) -> AsyncIterator[None]:
    task = asyncio.create_task(service_watch.run(cluster, table))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(table: RouteTable, *names: str) -> None:
    async with asyncio.timeout(5):
        while {key.name for key in table.keys(ROUTED)} != set(names):  # noqa: ASYNC110 - a table of ours
            await asyncio.sleep(0)


async def test_nothing_is_asked_before_a_guest_wants_to_know(cluster: Cluster) -> None:
    table = RouteTable()
    async with following(cluster, table):
        for _ in range(10):
            await asyncio.sleep(0)
        assert cluster.asked == []
        table.subscribe(ROUTED)
        await until(table, "a")


async def test_guests_without_kube_proxy_need_no_endpoints(cluster: Cluster) -> None:
    table = RouteTable()
    table.subscribe(linked("default"))
    async with following(cluster, table):
        await until(table, "a")
    assert {path for path, _ in cluster.asked} == {"/api/v1/services"}


async def test_only_what_guests_would_ask_for_is_asked_for(cluster: Cluster) -> None:
    table = RouteTable()
    table.subscribe(ROUTED)
    async with following(cluster, table):
        await table.known(ROUTED)
    asked = {path: query for path, query in cluster.asked}
    assert asked["/api/v1/services"]["fieldSelector"] == "spec.clusterIP!=None"
    assert asked["/api/v1/services"]["labelSelector"] == "!vch.dev/kubelet"
    slices = "/apis/discovery.k8s.io/v1/endpointslices"
    assert asked[slices]["labelSelector"] == "!service.kubernetes.io/headless,!vch.dev/kubelet"


async def test_pages_are_put_together_and_changes_follow(cluster: Cluster) -> None:
    cluster.pages = {
        "": {"items": [service("a")], "metadata": {"resourceVersion": "5", "continue": "more"}},
        "more": {"items": [service("b"), service("headless", clusterIP="None")], "metadata": {"resourceVersion": "5"}},
    }
    table = RouteTable()
    table.subscribe(ROUTED)
    async with following(cluster, table):
        await until(table, "a", "b")
        cluster.events.put_nowait({"type": "ADDED", "object": service("c", "6")})
        cluster.events.put_nowait({"type": "MODIFIED", "object": service("a", "7", type="ExternalName")})
        await until(table, "b", "c")
        cluster.events.put_nowait({"type": "DELETED", "object": service("b", "8")})
        await until(table, "c")
        assert table.get(Key("Service", "default", "c")) is not None


async def test_a_watch_goes_on_where_the_last_one_ended_and_lists_again_when_it_cannot(cluster: Cluster) -> None:
    table = RouteTable()
    table.subscribe(ROUTED)
    async with following(cluster, table):
        await until(table, "a")
        cluster.events.put_nowait({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}})
        cluster.events.put_nowait(None)
        cluster.pages[""] = {"items": [service("d")], "metadata": {"resourceVersion": "20"}}
        cluster.events.put_nowait({"type": "ERROR", "object": {"code": 410}})
        await until(table, "d")
    assert [query["resourceVersion"] for query in cluster.watched[:2]] == ["5", "9"]


async def test_a_cluster_without_service_cidrs_has_none(cluster: Cluster) -> None:
    cluster.without = {"/apis/networking.k8s.io/v1/servicecidrs"}
    table = RouteTable()
    table.subscribe(ROUTED)
    async with following(cluster, table), asyncio.timeout(5):
        await table.known(ROUTED)
