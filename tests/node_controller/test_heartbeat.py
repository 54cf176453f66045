"""The Node lives as long as somebody looks after its Pods, and no longer; it is never ended by us."""

import asyncio
from datetime import timedelta

from provider import node
from provider.capacity import Resources
from tests.builders import GIB
from tests.node_controller.fake_nodes import Heartbeat

SHORT = 0.5


async def test_the_lease_is_renewed_every_ten_seconds(heartbeat: Heartbeat) -> None:
    await asyncio.sleep(3600)
    assert len(heartbeat.kube.instants("renew_lease")) >= 3600 / node.RENEW_SECONDS - 2
    assert heartbeat.longest_gap() <= node.RENEW_SECONDS + SHORT


async def test_a_status_that_cannot_be_written_does_not_hold_up_the_heartbeat(heartbeat: Heartbeat) -> None:
    await asyncio.sleep(30)
    heartbeat.kube.hangs = 100.0
    heartbeat.offers(capacity=Resources(1000, GIB, 5))
    await asyncio.sleep(60)
    heartbeat.kube.failing = {"status"}
    await asyncio.sleep(200)
    assert heartbeat.longest_gap() <= node.RENEW_SECONDS + SHORT


async def test_a_wall_clock_that_jumps_leaves_no_gap(heartbeat: Heartbeat) -> None:
    for hours in (0, 1, -1):
        heartbeat.clock.skew = timedelta(hours=hours)
        await asyncio.sleep(60)
    assert heartbeat.longest_gap() <= node.RENEW_SECONDS + SHORT


async def test_a_heartbeat_that_failed_is_tried_again_soon(heartbeat: Heartbeat) -> None:
    await asyncio.sleep(15)
    heartbeat.kube.failing = {"renew_lease"}
    await asyncio.sleep(12)
    heartbeat.kube.failing = set()
    await asyncio.sleep(3)
    assert heartbeat.longest_gap() < 20


async def test_a_change_is_in_the_status_at_once_and_without_one_it_is_written_every_five_minutes(
    heartbeat: Heartbeat,
) -> None:
    await asyncio.sleep(5)
    before = len(heartbeat.kube.instants("status"))
    heartbeat.offers(capacity=Resources(1000, GIB, 5), allocatable=Resources(900, GIB, 5))
    await asyncio.sleep(SHORT)
    assert heartbeat.kube.node is not None
    assert heartbeat.kube.node["status"]["allocatable"]["cpu"] == "900m"
    await asyncio.sleep(3 * node.STATUS_SECONDS)
    assert 3 <= len(heartbeat.kube.instants("status")) - before <= 5, "and no more often than that"


async def test_no_heartbeat_says_that_pods_are_looked_after_when_nobody_does(heartbeat: Heartbeat) -> None:
    await asyncio.sleep(30)
    heartbeat.stalled = True
    heartbeat.kube.written.clear()
    heartbeat.offers(capacity=Resources(1000, GIB, 5))
    await asyncio.sleep(600)
    assert heartbeat.kube.written == [], "neither Lease nor status: both count as a sign of life"
    heartbeat.stalled = False
    await asyncio.sleep(node.RENEW_SECONDS + SHORT)
    assert heartbeat.kube.instants("renew_lease")
    assert heartbeat.kube.instants("status")


async def test_the_lease_belongs_to_the_node_that_there_is(heartbeat: Heartbeat) -> None:
    await asyncio.sleep(15)
    assert heartbeat.kube.lease is not None
    (owner,) = heartbeat.kube.lease["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Node", "node-1")


async def test_a_node_that_an_admin_deleted_is_made_anew_with_a_lease_of_its_own(heartbeat: Heartbeat) -> None:
    await asyncio.sleep(60)
    heartbeat.kube.forget_node()
    await asyncio.sleep(2 * node.RENEW_SECONDS)
    assert heartbeat.kube.node is not None
    assert heartbeat.kube.node["metadata"]["uid"] == "node-2"
    assert heartbeat.kube.node["spec"]["taints"], "as at its first creation"
    await asyncio.sleep(node.RENEW_SECONDS)
    assert heartbeat.kube.lease is not None
    assert heartbeat.kube.lease["metadata"]["ownerReferences"][0]["uid"] == "node-2"


async def test_the_end_of_the_process_and_the_next_one_leave_the_node_as_it_is(heartbeat: Heartbeat) -> None:
    heartbeat.offers(capacity=Resources(1000, GIB, 5))
    await asyncio.sleep(60)
    before = heartbeat.kube.node
    await heartbeat.stop()
    assert heartbeat.kube.node == before
    assert not heartbeat.kube.instants("delete_node")
    heartbeat.start()
    heartbeat.offers(capacity=Resources(1000, GIB, 5))
    await asyncio.sleep(60)
    assert len(heartbeat.kube.instants("create_node")) == 1
    assert before is not None
    assert heartbeat.kube.node is not None
    transitions = [
        {each["type"]: each["lastTransitionTime"] for each in found["status"]["conditions"]}
        for found in (before, heartbeat.kube.node)
    ]
    assert transitions[0] == transitions[1]


async def test_what_others_put_on_the_node_is_in_no_write_of_ours(heartbeat: Heartbeat) -> None:
    await asyncio.sleep(60)
    assert heartbeat.kube.node is not None
    theirs = {"unschedulable": True, "taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}
    heartbeat.kube.node["spec"] |= theirs
    heartbeat.kube.node["metadata"]["labels"]["team"] = "theirs"
    heartbeat.kube.bodies.clear()
    heartbeat.offers(capacity=Resources(1000, GIB, 5))
    await asyncio.sleep(2 * node.STATUS_SECONDS)
    assert {call for call, _ in heartbeat.kube.bodies} == {"apply_node", "status", "renew_lease"}
    for call, body in heartbeat.kube.bodies:
        assert "team" not in body["metadata"].get("labels", {})
        assert call == "renew_lease" or "spec" not in body


async def test_an_address_that_is_not_known_yet_holds_up_no_heartbeat_and_changes_nothing(heartbeat: Heartbeat) -> None:
    await asyncio.sleep(30)
    await heartbeat.stop()
    assert heartbeat.kube.node is not None
    before = heartbeat.kube.node["status"]["addresses"]
    heartbeat.start(address=None)
    await asyncio.sleep(30)
    assert heartbeat.kube.node["status"]["addresses"] == before
    assert heartbeat.longest_gap() <= node.RENEW_SECONDS + SHORT
    heartbeat.controller.addressed("10.96.0.7")
    await asyncio.sleep(SHORT)
    assert heartbeat.kube.node["status"]["addresses"][0] == {"type": "InternalIP", "address": "10.96.0.7"}
