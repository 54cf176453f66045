"""The kubelet is told of the Services that its Pod's containers are told of, before the Pod and as they are then."""

import asyncio
from typing import Any

import pytest
from vch_agent.pod_objects import PodObjects
from vch_agent.resources import PODS, SERVICES
from vch_agent.service_links import ServiceLinks
from vch_agent.service_routes import ServiceRoutes
from vch_agent.store import Store

from tests.guest import build


class Guest:
    """A guest that has been told of these Services."""

    def __init__(self, *services: dict[str, Any]) -> None:
        self.routes = ServiceRoutes()
        self.objects = PodObjects(Store(), build.no_rules)
        self.links = ServiceLinks(self.routes, self.objects)
        self.routes.change(services, [], first=True, last=True)

    def change(self, *applied: dict[str, Any], gone: tuple[dict[str, Any], ...] = ()) -> None:
        self.routes.change(applied, gone, first=False, last=False)
        self.links.follow()

    def told(self) -> dict[str, str]:
        """Name and address of each Service that the kubelet sees."""
        services = self.objects.store.all(SERVICES)
        return {each["metadata"]["name"]: each["spec"]["clusterIP"] for each in services}


WEB, ELSEWHERE = build.service("web"), build.service("far", "elsewhere")


async def test_they_are_those_of_the_pods_namespace_and_kubernetes() -> None:
    pod = build.pod()
    pod["metadata"]["namespace"] = "elsewhere"
    guest = Guest(build.service(), build.service("kubernetes", "third"), WEB, ELSEWHERE)
    await guest.links.snapshot([pod])
    assert guest.told() == {"kubernetes": "10.0.0.1", "far": "10.0.0.1"}


async def test_a_pod_that_wants_none_has_kubernetes_all_the_same() -> None:
    guest = Guest(build.service(), WEB)
    await guest.links.snapshot([build.pod(enableServiceLinks=False)])
    assert guest.told() == {"kubernetes": "10.0.0.1"}


async def test_no_pod_is_shown_before_the_services_are_known() -> None:
    guest = Guest()
    guest.routes.forget()
    with pytest.raises(ValueError, match="Services"):
        await guest.links.snapshot([build.pod()])
    guest.routes.change([WEB], [], first=True, last=False)
    with pytest.raises(ValueError, match="Services"):
        await guest.links.snapshot([build.pod()])
    assert not guest.objects.known.is_set()


async def test_the_pod_appears_only_when_the_kubelet_has_taken_them_in() -> None:
    guest = Guest(WEB)
    store = guest.objects.store
    services, _ = store.watch(SERVICES, bool, None)
    feeding = asyncio.create_task(guest.links.snapshot([build.pod()]))
    assert [value["metadata"]["name"] async for _, value in services] == ["web"]
    assert store.all(PODS) == ()
    store.watch(SERVICES, bool, store.version(SERVICES))
    await feeding
    assert store.all(PODS)


async def test_containers_that_start_later_are_told_what_there_is_then() -> None:
    guest = Guest(build.service(), WEB)
    await guest.links.snapshot([build.pod()])
    guest.change(build.service("web", address="10.0.0.9"), build.service("late", address="10.0.0.8"), ELSEWHERE)
    assert guest.told() == {"kubernetes": "10.0.0.1", "web": "10.0.0.9", "late": "10.0.0.8"}
    guest.change(gone=(WEB,))
    assert guest.told() == {"kubernetes": "10.0.0.1", "late": "10.0.0.8"}


async def test_what_concerns_others_is_no_event() -> None:
    guest = Guest(WEB)
    await guest.links.snapshot([build.pod()])
    watcher, _ = guest.objects.store.watch(SERVICES, bool, None)
    guest.change(ELSEWHERE, WEB)
    watcher.close()
    assert [event async for event in watcher] == []


async def test_a_restarted_agent_keeps_them_until_they_are_told_anew() -> None:
    """Its provider may not know them, and the Pod may be deleted meanwhile."""
    before = Guest(WEB, build.service("old"))
    await before.links.snapshot([build.pod()])
    before.change(build.service("web", address="10.0.0.9"))
    after = Guest()
    after.routes.forget()
    await after.objects.restore(before.objects.exported())
    await after.links.snapshot([build.pod(11)])
    assert after.told() == {"web": "10.0.0.9", "old": "10.0.0.1"}
    after.routes.change([build.service("web", address="10.0.0.7")], [], first=True, last=True)
    after.links.follow()
    assert after.told() == {"web": "10.0.0.7"}
