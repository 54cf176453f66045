"""The parent that is cloned is on the host that has most left, of those that do not refuse."""

from collections import Counter

import pytest

from provider.errors import NoParentReady
from provider.placement import Load, choose
from tests.builders import GIB, make_host, make_key, make_parent_vm

ONE = make_parent_vm("vm-1", key=make_key("host-1"))
TWO = make_parent_vm("vm-2", key=make_key("host-2"))


def test_the_host_with_most_free_memory_is_taken() -> None:
    hosts = {"host-1": make_host("host-1", memory_used_bytes=20 * GIB), "host-2": make_host("host-2")}
    assert choose([ONE, TWO], hosts, Load(), {}, 0.0) == TWO


def test_the_scarcer_of_memory_and_cpu_counts() -> None:
    hosts = {
        "host-1": make_host("host-1", memory_used_bytes=8 * GIB),
        "host-2": make_host("host-2", cpu_mhz_used=12000),
    }
    assert choose([ONE, TWO], hosts, Load(), {}, 0.0) == ONE


def test_a_burst_of_pods_is_spread_before_vsphere_has_counted_it() -> None:
    hosts = {name: make_host(name) for name in ("host-1", "host-2", "host-3")}
    parents = [ONE, TWO, make_parent_vm("vm-3", key=make_key("host-3"))]
    load, placed = Load(), Counter[str]()
    for _ in range(30):
        chosen = choose(parents, hosts, load, {}, 0.0)
        load.add(chosen.host, chosen.memory_mib * 2**20, chosen.cpus)
        placed[chosen.host] += 1
    assert set(placed.values()) == {10}


def test_a_host_that_refused_is_avoided_for_a_while() -> None:
    hosts = {"host-1": make_host("host-1"), "host-2": make_host("host-2", memory_used_bytes=30 * GIB)}
    assert choose([ONE, TWO], hosts, Load(), {"host-1": 60.0}, 59.0) == TWO
    assert choose([ONE, TWO], hosts, Load(), {"host-1": 60.0}, 60.0) == ONE


def test_hosts_in_maintenance_or_lost_are_not_taken() -> None:
    hosts = {"host-1": make_host("host-1", maintenance=True), "host-2": make_host("host-2", connected=False)}
    with pytest.raises(NoParentReady, match="is being made"):
        choose([ONE, TWO], hosts, Load(), {}, 0.0, "its parent is being made")


def test_that_all_hosts_refuse_is_said_with_their_names() -> None:
    with pytest.raises(NoParentReady, match="refused a clone within the last minute: host-1"):
        choose([ONE], {"host-1": make_host("host-1")}, Load(), {"host-1": 60.0}, 1.0)
