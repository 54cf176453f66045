"""Against the simulator with two hosts: parents are made where they are wanted, forked, powered on, told and lost."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pyVmomi import vim

from provider import guestinfo
from provider.errors import (
    DatastoreFull,
    HostUnavailable,
    InsufficientResources,
    NameTaken,
    ParentExhausted,
    ParentNotFrozen,
    TaskFailed,
    TemplateUnsuitable,
)
from provider.parentvm import (
    Host,
    HostChanged,
    HostVanished,
    MakeParent,
    ParentAppeared,
    ParentKey,
    ParentMarks,
    ParentVanished,
    PoolChanged,
    WantedPlacement,
)
from provider.podvm import Appeared, PowerState

from .conftest import Simulator, Watched, make_clone, make_machine, watching

MIB = 2**20


async def hosts(watched: Watched) -> dict[str, Host]:
    """By name, those of the cluster."""
    for name in ("DC0_C0_H0", "DC0_C0_H1"):
        await watched.until(lambda event, n=name: isinstance(event, HostChanged) and event.host.name == n)
    return {event.host.name: event.host for event in watched.events if isinstance(event, HostChanged)}


def make_request(source: str, host: str, name: str = "vch-parent-1", **fields: Any) -> MakeParent:
    marks = ParentMarks("cluster", "vch", f"id-of-{name}", ParentKey(host, "photon", "small"), "d1")
    told = {"parentId": marks.parent_id, "freeze": True}
    given = {"cpus": 4, "memory_mib": 2048, "extra_config": guestinfo.encode_parent(marks, told)}
    return MakeParent(name=name, source=source, host=host, **{**given, **fields})


def parent(moref: str, **fields: Any) -> Callable[[Any], bool]:
    """An event that tells this of a parent."""

    def matches(event: Any) -> bool:
        return (
            isinstance(event, ParentAppeared)
            and event.vm.moref == moref
            and all(getattr(event.vm, name) == value for name, value in fields.items())
        )

    return matches


async def test_a_parent_is_made_on_the_host_and_of_the_size_that_is_wanted(watched_site: Watched) -> None:
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    host = (await hosts(watched_site))["DC0_C0_H1"].moref
    moref = await watched_site.vc.make_parent(make_request(source, host))
    told = (await watched_site.until(parent(moref))).vm
    assert (told.host, told.cpus, told.memory_mib) == (host, 4, 2048)
    assert (told.power_state, told.frozen, told.marks.key.host) == (PowerState.OFF, False, host)
    for _ in range(2):
        await watched_site.vc.power_on(moref)
    await watched_site.until(parent(moref, power_state=PowerState.ON))
    watched_site.simulator.post(f"/vms/{moref}/freeze", {})
    await watched_site.until(parent(moref, frozen=True))
    clone = await watched_site.vc.clone(make_clone(moref))
    vm = (await watched_site.until(lambda event: isinstance(event, Appeared) and event.vm.moref == clone)).vm
    assert vm.host == host
    keys = await watched_site.extra_config(clone)
    assert not keys.get(guestinfo.PARENT_MARKS)
    assert not keys.get(guestinfo.PARENT)


async def test_a_fork_runs_at_once_and_is_a_parent_of_its_own(watched_site: Watched) -> None:
    host = (await hosts(watched_site))["DC0_C0_H0"].moref
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    base = await watched_site.vc.make_parent(make_request(source, host))
    await watched_site.vc.power_on(base)
    await watched_site.vc.power_off(base)
    with pytest.raises(ParentNotFrozen):
        await watched_site.vc.make_parent(make_request(base, host, "vch-parent-2", fork=True))
    await watched_site.vc.power_on(base)
    watched_site.simulator.post(f"/vms/{base}/freeze", {})
    fork = await watched_site.vc.make_parent(make_request(base, host, "vch-parent-2", fork=True))
    told = (await watched_site.until(parent(fork, power_state=PowerState.ON))).vm
    assert told.marks.parent_id == "id-of-vch-parent-2"
    assert told.report is None


async def test_a_parent_that_goes_is_told(watched_site: Watched) -> None:
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    host = (await hosts(watched_site))["DC0_C0_H0"].moref
    moref = await watched_site.vc.make_parent(make_request(source, host))
    await watched_site.until(parent(moref))
    with pytest.raises(NameTaken):
        await watched_site.vc.make_parent(make_request(source, host))
    await watched_site.vc.destroy(moref)
    await watched_site.until(lambda event: event == ParentVanished(moref))


def networks(cards: list[Any]) -> list[str]:
    """What each card is on: the key of a distributed port group, or the name of a network."""
    return [
        card.backing.port.portgroupKey if hasattr(card.backing, "port") else card.backing.deviceName for card in cards
    ]


async def make_frozen(watched: Watched, source: str, host: str, name: str = "vch-parent-1", **fields: Any) -> str:
    moref = await watched.vc.make_parent(make_request(source, host, name, **fields))
    if not fields.get("fork"):
        await watched.vc.power_on(moref)
    watched.simulator.post(f"/vms/{moref}/freeze", {})
    return moref


async def test_a_parent_has_the_datastore_and_the_port_groups_of_the_vch(site: Simulator) -> None:
    ports: dict[str, Any] = {"port_group": "VM Network", "pod_port_group": "DC0_DVPG0", "pods_apart": True}
    wanted = WantedPlacement("vm", "/DC0/host/DC0_C0/Resources", datastore="LocalDS_1", **ports)
    async with watching(site, wanted) as watched:
        source = await make_machine(site, watched.vc, "photon", on=False)
        host = (await hosts(watched))["DC0_C0_H0"].moref
        moref = await watched.vc.make_parent(make_request(source, host))
        stores = await watched.raw(lambda _: [store.name for store in watched.vm(moref).datastore])
        assert stores == ["LocalDS_1"]
        assert networks(await watched.cards(moref)) == ["VM Network", watched.vc._placed.pod_port_group]


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ({}, ["VM Network", "VM Network"]),
        ({"port_group": "DC0_DVPG0", "pods_apart": True}, ["DC0_DVPG0", "VM Network"]),
        ({"port_group": "DC0_DVPG0"}, ["DC0_DVPG0", "DC0_DVPG0"]),
        ({"pod_port_group": "DC0_DVPG0", "pods_apart": True}, ["VM Network", "DC0_DVPG0"]),
    ],
)
async def test_a_card_stays_where_the_template_has_it_unless_its_port_group_is_named_or_pods_are_beside_their_vms(
    site: Simulator, ports: dict[str, Any], expected: list[str]
) -> None:
    wanted = WantedPlacement("vm", "/DC0/host/DC0_C0/Resources", **ports)
    async with watching(site, wanted) as watched:
        source = await make_machine(site, watched.vc, "photon", on=False)
        host = (await hosts(watched))["DC0_C0_H0"].moref
        moref = await watched.vc.make_parent(make_request(source, host))
        names = {at: name for at, name in watched.vc._placed.names.items() if name == "DC0_DVPG0"}
        assert [names.get(each, each) for each in networks(await watched.cards(moref))] == expected


async def test_a_parent_and_its_clones_speak_to_nobody_until_the_pin_is_written(watched_site: Watched) -> None:
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    host = (await hosts(watched_site))["DC0_C0_H0"].moref
    moref = await make_frozen(watched_site, source, host)
    assert await watched_site.connected(moref) == [False, False]
    clone = await watched_site.vc.clone(make_clone(moref))
    assert await watched_site.connected(clone) == [False, False]
    before = networks(await watched_site.cards(clone))
    await watched_site.vc.pin(clone, "sha256:ab", "default")
    assert await watched_site.connected(clone) == [True, True]
    assert networks(await watched_site.cards(clone)) == before
    assert (await watched_site.extra_config(clone))[guestinfo.PIN] == "sha256:ab"


async def test_a_parent_that_pulls_images_is_connected_on_the_management_network_and_its_clones_are_not(
    watched_site: Watched,
) -> None:
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    host = (await hosts(watched_site))["DC0_C0_H0"].moref
    moref = await make_frozen(watched_site, source, host, pulls=True)
    assert await watched_site.connected(moref) == [True, False]
    assert await watched_site.connected(await watched_site.vc.clone(make_clone(moref))) == [False, False]


async def test_a_fork_is_connected_only_if_it_pulls_images_itself(watched_site: Watched) -> None:
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    host = (await hosts(watched_site))["DC0_C0_H0"].moref
    base = await make_frozen(watched_site, source, host)
    fork = await make_frozen(watched_site, base, host, "vch-parent-2", fork=True, pulls=True)
    assert await watched_site.connected(fork) == [True, False]
    further = await make_frozen(watched_site, fork, host, "vch-parent-3", fork=True)
    assert await watched_site.connected(further) == [False, False]


async def calls(watched: Watched, work: Awaitable[Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls to vCenter that something takes."""
    session, made = watched.vc._session, []
    call = session.call

    async def count(method: str, work: Callable[[], Any]) -> Any:
        made.append(method)
        return await call(method, work)

    with monkeypatch.context() as patched:
        patched.setattr(session, "call", count)
        await work
    return made


async def test_cards_cost_a_pod_no_call_of_its_own(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await watched.vc.clone(make_clone(watched.parent))
    assert await calls(watched, watched.vc.clone(make_clone(watched.parent, "pod-2", uid="uid-2")), monkeypatch) == [
        "InstantClone_Task"
    ]
    assert await calls(watched, watched.vc.pin(first, "sha256:ab", "default"), monkeypatch) == ["ReconfigVM_Task"]


async def test_a_clone_of_another_process_is_connected_as_well(watched: Watched) -> None:
    moref = await watched.vc.clone(make_clone(watched.parent))
    watched.vc._cards.forget(moref)  # as if this process had not made it
    await watched.vc.pin(moref, "sha256:ab", "default")
    assert await watched.connected(moref) == [True, True]


@pytest.mark.parametrize(("cards", "words"), [(0, "no network cards"), (1, "1 network card,")])
async def test_a_template_without_two_cards_is_named_with_the_remedy(watched: Watched, cards: int, words: str) -> None:
    source = await make_machine(watched.simulator, watched.vc, "photon", on=False, cards=cards)
    host = await watched.raw(lambda _: watched.vm(source).runtime.host._moId)
    for attempt in (watched.vc.template("photon"), watched.vc.make_parent(make_request(source, host))):
        with pytest.raises(TemplateUnsuitable, match=f"'photon' has {words}.*add what is missing to the template"):
            await attempt


async def test_a_host_that_cannot_be_used_is_told_and_refuses(watched_site: Watched) -> None:
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    host = (await hosts(watched_site))["DC0_C0_H0"].moref
    base = await watched_site.vc.make_parent(make_request(source, host))
    await watched_site.vc.power_on(base)
    watched_site.simulator.post(f"/vms/{base}/freeze", {})
    off = await watched_site.vc.make_parent(make_request(source, host, "vch-parent-2"))
    for state in ("maintenance", "disconnected"):
        seen = len(watched_site.events)
        watched_site.simulator.put(f"/hosts/{host}", {"state": state, "mode": "immediate"})
        await watched_site.until(
            lambda event: isinstance(event, HostChanged) and event.host.moref == host and not event.host.usable,
            since=seen,
        )
        for attempt in (
            watched_site.vc.clone(make_clone(base)),
            watched_site.vc.make_parent(make_request(source, host, "vch-parent-3")),
            watched_site.vc.make_parent(make_request(base, host, "vch-parent-3", fork=True)),
            watched_site.vc.power_on(off),
        ):
            with pytest.raises(HostUnavailable):
                await attempt
    watched_site.simulator.put(f"/hosts/{host}", {"state": "connected"})
    await watched_site.vc.clone(make_clone(base))


async def test_a_full_datastore_is_told_apart_from_a_full_host(watched_site: Watched) -> None:
    (datastore, *_) = watched_site.simulator.post("/datastores", None, "GET")
    watched_site.simulator.put(f"/datastores/{datastore['id']}", {"state": "full"})
    with pytest.raises(DatastoreFull):
        await watched_site.vc.clone(make_clone(watched_site.parent))
    watched_site.simulator.put(f"/datastores/{datastore['id']}", {"state": "inaccessible"})
    with pytest.raises(HostUnavailable):
        await watched_site.vc.clone(make_clone(watched_site.parent))


@pytest.mark.parametrize("fault", ["InvalidState", "InvalidArgument"])
async def test_a_parent_that_is_off_is_not_frozen_whatever_the_fault(watched: Watched, fault: str) -> None:
    watched.simulator.put("/modes", {"sourceOff": fault})
    await watched.vc.power_off(watched.parent)
    with pytest.raises(ParentNotFrozen):
        await watched.vc.clone(make_clone(watched.parent))


async def test_a_parent_that_was_cloned_too_often_is_exhausted(watched: Watched) -> None:
    running = await make_machine(watched.simulator, watched.vc, "running", frozen=False)
    watched.simulator.put("/modes", {"deltaDepth": 1})
    await watched.vc.clone(make_clone(running))
    with pytest.raises(ParentExhausted, match="Unable to prepare migration"):
        await watched.vc.clone(make_clone(running, "pod-2", uid="uid-2"))


async def test_hosts_are_told_with_what_is_used_of_them(watched_site: Watched) -> None:
    before = (await hosts(watched_site))["DC0_C0_H0"]
    assert (before.cpu_cores > 0, before.cpu_mhz > before.cpu_cores, before.usable) == (True, True, True)
    assert before.memory_bytes > before.memory_used_bytes
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    moref = await watched_site.vc.make_parent(make_request(source, before.moref, memory_mib=512))
    seen = len(watched_site.events)
    await watched_site.vc.power_on(moref)
    await watched_site.until(
        lambda event: (
            isinstance(event, HostChanged)
            and event.host.moref == before.moref
            and event.host.memory_used_bytes > before.memory_used_bytes
        ),
        since=seen,
    )


async def test_the_pools_limits_and_their_changes_are_told(watched_site: Watched) -> None:
    first = (await watched_site.until(lambda event: isinstance(event, PoolChanged))).pool
    assert first.name == "Resources"
    pool = watched_site.vc._session.object(vim.ResourcePool, first.moref)

    def limit(_: Any) -> None:
        allocation = [
            vim.ResourceAllocationInfo(limit=limit, reservation=0, expandableReservation=True) for limit in (3000, 2048)
        ]
        pool.UpdateConfig(None, vim.ResourceConfigSpec(cpuAllocation=allocation[0], memoryAllocation=allocation[1]))

    await watched_site.raw(limit)
    await watched_site.until(
        lambda event: (
            isinstance(event, PoolChanged)
            and (event.pool.cpu_mhz_limit, event.pool.memory_bytes_limit) == (3000, 2048 * MIB)
        )
    )


async def test_a_host_that_joins_and_leaves_the_cluster_is_told(watched_site: Watched) -> None:
    cluster = watched_site.vc._session.object(vim.ComputeResource, watched_site.vc._placed.compute_cluster)
    spec = vim.host.ConnectSpec(hostName="new.test", userName="root", password="x", force=True)
    made = await watched_site.raw(
        lambda _: vim.ClusterComputeResource(cluster._moId, cluster._stub).AddHost_Task(spec, True)
    )
    await watched_site.until(lambda event: isinstance(event, HostChanged) and event.host.moref == made._moId)
    await watched_site.raw(lambda _: made.Destroy_Task())
    await watched_site.until(lambda event: event == HostVanished(made._moId))


async def test_hosts_that_are_not_the_vchs_are_not_told(site: Simulator) -> None:
    wanted = WantedPlacement("vm", "/DC0/host/DC0_C0/Resources", hosts=("DC0_C0_H1",))
    async with watching(site, wanted) as watched:
        told = {event.host.name for event in watched.events if isinstance(event, HostChanged)}
        assert told == {"DC0_C0_H1"}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("InsufficientResourcesFault", InsufficientResources),
        ("NoDiskSpace", DatastoreFull),
        ("NoCompatibleHost", HostUnavailable),
        ("SystemError", TaskFailed),
    ],
)
async def test_a_fault_of_a_full_clone_says_what_helps(
    watched_site: Watched, fault: str, error: type[Exception]
) -> None:
    source = await make_machine(watched_site.simulator, watched_site.vc, "photon", on=False)
    host = (await hosts(watched_site))["DC0_C0_H0"].moref
    watched_site.simulator.post("/faults", {"method": "CloneVM_Task", "fault": fault, "when": "before", "count": 1})
    with pytest.raises(error):
        await watched_site.vc.make_parent(make_request(source, host))


async def test_the_memory_of_all_vms_is_one_call(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = await watched.vc.clone(make_clone(watched.parent))
    assert await calls(watched, watched.vc.memory(), monkeypatch) == ["RetrievePropertiesEx"]
    memory = await watched.vc.memory()
    assert {clone, watched.parent} <= memory.keys()
    assert memory[clone].granted == memory[clone].shared + memory[clone].private > memory[clone].shared > 0
