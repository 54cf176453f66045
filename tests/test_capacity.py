"""The virtual node offers what its limits, its pool and its hosts allow, and takes no Pod beyond that."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.capacity import Limits, Resources, admit, allocatable, capacity
from provider.errors import OutOfResource
from provider.parentvm import ResourcePool
from tests.builders import GIB, make_host

HOSTS = {name: make_host(name) for name in ("host-1", "host-2")}


def pool(**fields: Any) -> ResourcePool:
    return ResourcePool(**{"cpu_mhz_limit": None, "memory_bytes_limit": None, **fields, "moref": "p", "name": "pool"})


def test_without_limits_the_hosts_are_offered() -> None:
    assert capacity(Limits(None, None, 110), pool(), HOSTS, 200) == Resources(16000, 64 * GIB, 110)


def test_a_limit_of_the_vch_is_taken_as_it_is() -> None:
    assert capacity(Limits(4000, 8 * GIB, 20), pool(), HOSTS, 200) == Resources(4000, 8 * GIB, 20)


def test_the_pools_limit_counts_when_it_is_lower() -> None:
    limited = pool(cpu_mhz_limit=6000, memory_bytes_limit=4 * GIB)
    assert capacity(Limits(4000, 8 * GIB, 20), limited, HOSTS, 200) == Resources(3000, 4 * GIB, 20)


def test_there_are_no_more_pods_than_addresses() -> None:
    assert capacity(Limits(None, None, 110), pool(), HOSTS, 7).pods == 7


def test_hosts_that_are_lost_offer_nothing() -> None:
    hosts = HOSTS | {"host-2": make_host("host-2", connected=False)}
    assert capacity(Limits(None, None, 110), pool(), hosts, 200).memory_bytes == 32 * GIB


def test_parents_overhead_and_ended_pods_are_deducted() -> None:
    left = allocatable(
        Resources(4000, 8 * GIB, 20),
        parents=Resources(memory_bytes=2 * GIB),
        overhead=Resources(memory_bytes=GIB),
        ended=Resources(500, GIB, 1),
    )
    assert left == Resources(3500, 4 * GIB, 19)


@pytest.mark.parametrize(
    ("wanted", "reason", "words"),
    [
        (Resources(3000, 0, 1), "OutOfcpu", "cpu, requested: 3000, used: 2000, capacity: 4000"),
        (Resources(0, 8 * GIB, 1), "OutOfmemory", f"memory, requested: {8 * GIB}, used: {GIB}, capacity: {8 * GIB}"),
    ],
)
def test_a_pod_that_does_not_fit_is_refused_in_the_kubelets_words(wanted: Resources, reason: str, words: str) -> None:
    with pytest.raises(OutOfResource, match=words) as refused:
        admit(wanted, [Resources(2000, GIB, 1)], Resources(4000, 8 * GIB, 20))
    assert refused.value.reason == reason


def test_the_number_of_pods_is_a_limit_too() -> None:
    with pytest.raises(OutOfResource) as refused:
        admit(Resources(0, 0, 1), [Resources(0, 0, 1)] * 20, Resources(4000, 8 * GIB, 20))
    assert refused.value.reason == "OutOfpods"


def test_a_pod_that_requests_nothing_of_a_resource_is_not_refused_for_it() -> None:
    admit(Resources(0, 0, 1), [Resources(5000, 0, 1)], Resources(4000, GIB, 20))


@given(st.lists(st.builds(Resources, st.integers(0, 2000), st.integers(0, 3 * GIB), st.just(1)), max_size=40))
def test_whatever_comes_the_node_is_never_over_committed(pods: list[Resources]) -> None:
    offered, admitted = Resources(4000, 8 * GIB, 10), list[Resources]()
    for pod in pods:
        try:
            admit(pod, admitted, offered)
        except OutOfResource:
            continue
        admitted.append(pod)
    used = sum(admitted, Resources())
    assert used.cpu_millis <= offered.cpu_millis
    assert used.memory_bytes <= offered.memory_bytes
    assert used.pods <= offered.pods
