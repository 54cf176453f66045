"""Every guest is told all Services, then each change once, whatever it was busy with meanwhile."""

import asyncio
import json

from provider import service_feed
from provider.guest import routes
from provider.guest.routes import RouteSubscription, RouteTable
from provider.service_feed import ROUTED, Key, linked


def key(name: str, namespace: str = "default") -> Key:
    return Key("Service", namespace, name)


def value(name: str, port: int = 80) -> bytes:
    ports = [{"name": "", "port": port, "protocol": "TCP"}]
    metadata = {"namespace": "default", "name": name}
    spec = {"clusterIP": "10.96.0.1", "ports": ports}
    return service_feed.encoded({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def known(*names: str) -> RouteTable:
    table = RouteTable()
    for kind in service_feed.KINDS:
        table.replace(kind.name, {key(name): value(name) for name in names} if kind.name == "Service" else {})
    return table


async def all_of(subscription: RouteSubscription) -> list[dict]:
    return [json.loads(payload) for payload in await subscription.all()]


async def news_of(subscription: RouteSubscription) -> list[dict]:
    async with asyncio.timeout(5):
        return [json.loads(payload) for payload in await subscription.news()]


def names(objects: list[dict]) -> list[str]:
    return [each["metadata"]["name"] for each in objects]


async def test_nothing_is_said_before_everything_is_known() -> None:
    table = RouteTable()
    asking = asyncio.create_task(all_of(table.subscribe(ROUTED)))
    table.replace("Service", {key("a"): value("a")})
    await asyncio.sleep(0)
    assert not asking.done()
    table.replace("EndpointSlice", {})
    table.replace("ServiceCIDR", {})
    (frame,) = await asking
    assert (frame["type"], names(frame["apply"]), frame["first"], frame["last"]) == ("routes", ["a"], True, True)


async def test_no_services_are_said_too() -> None:
    (frame,) = await all_of(known().subscribe(ROUTED))
    assert frame == {"type": "routes", "apply": [], "remove": [], "first": True, "last": True}


async def test_a_large_cluster_comes_in_several_frames() -> None:
    table = known(*(f"service-{number}" for number in range(2000)))
    frames = await all_of(table.subscribe(ROUTED))
    assert len(frames) > 2
    assert [frame.get("first", False) for frame in frames] == [True] + [False] * (len(frames) - 1)
    assert [frame.get("last", False) for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert sum(len(frame["apply"]) for frame in frames) == 2000
    assert max(len(json.dumps(frame)) for frame in frames) < 2 * routes._FRAME


async def test_a_change_is_told_as_it_is_then_and_once() -> None:
    table = known("a", "b")
    subscription = table.subscribe(ROUTED)
    await subscription.all()
    for port in (81, 82, 83):
        table.change(key("a"), value("a", port))
    table.change(key("b"), None)
    (frame,) = await news_of(subscription)
    assert [each["spec"]["ports"][0]["port"] for each in frame["apply"]] == [83]
    assert frame["remove"] == [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "b"}}
    ]
    assert "first" not in frame
    assert "last" not in frame


async def test_what_is_the_same_for_guests_is_no_news() -> None:
    table = known("a")
    subscription = table.subscribe(ROUTED)
    await subscription.all()
    table.replace("Service", {key("a"): value("a")})
    asking = asyncio.create_task(news_of(subscription))
    await asyncio.sleep(0)
    assert not asking.done()
    table.replace("Service", {})
    (frame,) = await asking
    assert names(frame["remove"]) == ["a"]


async def test_what_changes_while_all_is_being_sent_is_told_after() -> None:
    table = known("a", "b")
    subscription = table.subscribe(ROUTED)
    frames = await subscription.all()
    table.change(key("a"), None)
    (first,) = [json.loads(payload) for payload in frames]
    assert names(first["apply"]) == ["b"]
    (frame,) = await news_of(subscription)
    assert names(frame["remove"]) == ["a"]


async def test_a_connection_that_ended_costs_nothing_more() -> None:
    table = known("a")
    subscription = table.subscribe(ROUTED)
    subscription.close()
    table.change(key("a"), None)
    assert subscription._pending == {}


async def test_a_guest_without_kube_proxy_is_told_what_its_pods_containers_are_and_no_more() -> None:
    table = RouteTable()
    mine, others, always = key("web", "mine"), key("web", "others"), key("kubernetes")
    subscription = table.subscribe(linked("mine"))
    assert [name for name, event in table.wanted.items() if event.is_set()] == ["Service"]
    table.replace("Service", {each: value(each.name) for each in (mine, others, always, key("web"))})
    (frame,) = await all_of(subscription)
    assert len(frame["apply"]) == 2
    table.change(others, None)
    table.change(mine, None)
    (frame,) = await news_of(subscription)
    assert [each["metadata"]["namespace"] for each in frame["remove"]] == ["mine"]
