"""A Pod gets one VM, whatever fails on the way, and a VM that is lost is never replaced behind the Pod's back."""

import json
from dataclasses import replace

import pytest

from provider import errors, guestinfo, lifecycle, reachability
from provider.podvm import CloneOrigin, PodVM, PowerState
from provider.relay import RelayRequest
from tests.builders import make_container, make_identity, make_parent_vm, make_vm
from tests.pod_controller.fake_vsphere import CLONE_SECONDS
from tests.pod_controller.world import World


async def test_a_pod_gets_exactly_one_vm_and_runs_in_it(world: World) -> None:
    vm = await world.run_pod()
    await world.passes(300)
    assert world.count("clone") == 1
    assert vm.pin == f"sha256:{vm.moref}"
    assert (world.pods.status()["podIP"],) == vm.pod_addresses == ("10.1.0.5",)
    assert {"VirtualMachineCloned", "GuestReady"} <= world.events.reasons()


async def test_nothing_is_fed_before_the_fingerprint_is_pinned(world: World) -> None:
    world.vsphere.fail("pin", errors.VMBusy("busy"), errors.VCenterUnreachable("gone"))
    vm = await world.run_pod()
    calls = [call for call, _ in world.done]
    assert calls.count("pin") == 3
    assert calls.index("guest status") > calls.index("pin")
    assert len(world.guests.fed[vm.moref]) > 0


async def test_a_clone_is_told_who_it_is(world: World) -> None:
    pod = world.pods.create("web", hostname="front")
    await world.until(lambda: world.vsphere.requests)
    (request,) = world.vsphere.requests
    told = json.loads(request.extra_config[guestinfo.IDENTITY])
    assert told["pod"] == {"namespace": "default", "name": "web", "uid": pod["metadata"]["uid"]}
    assert (told["hostname"], told["node"], told["address"]) == ("front", "vch", "10.0.0.5/24")
    assert request.extra_config[guestinfo.PIN] == ""


async def test_what_a_guest_says_of_the_clusters_network_is_kept_by_its_pod_and_written_nowhere(world: World) -> None:
    vm = await world.run_pod()
    relay, written = world.guests.relays[vm.moref], len(world.done)
    body = {"failures": [{"what": "APIServer", "address": "10.0.0.1", "port": 6443, "why": "Timeout"}]}
    assert (await relay(RelayRequest(reachability.VERB, "other", "another", "", body))).code == 200
    assert (await relay(RelayRequest(reachability.VERB, "", "", "", {"failures": "<script>"}))).code == 403
    assert len(world.done) == written
    found = world.reports.finding([vm.identity.uid])
    assert found is not None
    assert "tried from the VM of Pod default/web" in found.message


async def test_each_of_many_pods_has_a_vm_and_an_address_of_its_own(world: World) -> None:
    for number in range(40):
        world.pods.create(f"web-{number}")
    await world.until(lambda: all(world.pods.phase(name) == "Running" for name in world.pods.stored))
    assert world.count("clone") == 40
    assert len({vm.address for vm in world.vsphere.vms.values()}) == 40
    assert len({vm.pod_addresses for vm in world.vsphere.vms.values()}) == 40


async def test_the_ranges_that_are_used_up_are_named(world: World) -> None:
    await world.stop()
    world.start(pods="10.1.0.5")
    await world.run_pod("first")
    world.pods.create("second")
    await world.until(lambda: world.pods.status("second").get("reason") == "AddressesExhausted")
    assert "spec.podNetwork.ranges" in world.pods.status("second")["message"]


async def test_a_pod_without_an_address_waits_for_another_to_go(world: World) -> None:
    await world.stop()
    world.start(addresses="10.0.0.5")
    await world.run_pod("first")
    world.pods.create("second")
    await world.until(lambda: world.pods.status("second").get("reason") == "AddressesExhausted")
    assert world.count("clone") == 1
    world.pods.delete("first")
    await world.until(lambda: world.pods.phase("second") == "Running", within=400)
    assert "reason" not in world.pods.status("second")


async def test_a_pod_whose_vm_is_quick_is_not_announced(world: World) -> None:
    world.vsphere.behaviour.watch_lags = 0.001
    await world.run_pod()
    assert world.count("status") == 0


async def test_a_pod_whose_vm_takes_long_is_container_creating(world: World) -> None:
    world.vsphere.behaviour.agents_report = False
    world.pods.create()
    await world.until(lambda: world.pods.phase() == "Pending")
    (container,) = world.pods.status()["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "ContainerCreating"
    assert world.count("status") == 1


async def test_a_new_version_of_the_pod_reaches_its_guest(world: World) -> None:
    vm = await world.run_pod()
    pod = world.pods.stored["web"]
    world.pods._store({**pod, "metadata": pod["metadata"] | {"labels": {"a": "b"}}})
    await world.until(lambda: world.guests.fed[vm.moref][-1]["metadata"].get("labels") == {"a": "b"})


# Before there is a VM.


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"hostPID": True}, "UnsupportedPodSpec"),
        ({"containers": [make_container(resources={"requests": {"cpu": "3"}})]}, "ExceedsVMClass"),
    ],
)
async def test_a_refused_pod_fails_and_never_has_a_vm(world: World, spec: dict, reason: str) -> None:
    world.pods.create(**spec)
    await world.until(lambda: world.pods.phase() == "Failed")
    assert world.pods.status()["reason"] == reason
    assert reason in world.events.reasons()
    world.pods.delete()
    await world.until(lambda: world.pods.phase() == "gone")
    assert world.count("clone") == 0
    assert not world.controller.knows("00000001-1111-2222-3333-444455556666")


async def test_no_vm_is_cloned_while_the_parent_is_unknown(world: World) -> None:
    world.set_parent(None)
    world.pods.create()
    await world.passes(60)
    assert world.count("clone") == 0
    world.set_parent(make_parent_vm())
    await world.until(lambda: world.pods.phase() == "Running")


async def test_no_vm_is_cloned_while_the_inventory_is_stale(world: World) -> None:
    world.vsphere.disconnect()
    world.pods.create()
    await world.passes(60)
    assert world.count("clone") == 0
    world.vsphere.connect(world.controller.inventory_changed)
    await world.until(lambda: world.pods.phase() == "Running")


async def test_a_clone_that_fails_is_said_on_the_pod_tried_again_and_taken_back(world: World) -> None:
    world.vsphere.fail("clone", *[errors.ParentNotFrozen("not yet")] * 3)
    world.pods.create()
    await world.until(lambda: world.pods.status().get("reason") == "ParentNotFrozen")
    assert world.pods.phase() != "Running"
    assert "FailedCreatePodSandBox" in world.events.reasons()
    await world.until(lambda: world.pods.phase() == "Running")
    assert (world.count("clone"), len(world.vsphere.vms)) == (4, 1)
    assert not {"reason", "message"} & world.pods.status().keys()


async def test_the_same_failure_again_is_not_written_again(world: World) -> None:
    world.vsphere.fail("clone", *[errors.ParentNotFrozen("not yet")] * 6)
    world.pods.create()
    await world.until(lambda: world.count("clone") == 6, within=300)
    assert world.count("status") <= 2  # announced, and the reason


async def test_a_frozen_parent_ends_the_waiting_at_once(world: World) -> None:
    world.set_parent(make_parent_vm(frozen=False))
    world.pods.create()
    await world.passes(290)
    tried = world.count("clone")
    world.set_parent(make_parent_vm())
    await world.until(lambda: world.pods.phase() == "Running", within=3)
    assert world.count("clone") == tried + 1


# A lost reply.


@pytest.mark.parametrize("error", [errors.VCenterUnreachable("broke"), errors.TaskFailed("who knows")])
async def test_a_lost_reply_of_a_clone_leads_to_adoption(world: World, error: errors.VSphereError) -> None:
    world.vsphere.lose_reply("clone", error)
    await world.run_pod()
    assert (world.count("clone"), len(world.vsphere.vms)) == (1, 1)


async def test_a_clone_that_the_watch_does_not_show_yet_is_not_made_twice(world: World) -> None:
    world.vsphere.behaviour.watch_lags = 20
    world.vsphere.lose_reply("clone", errors.VCenterUnreachable("broke"))
    world.pods.create()
    await world.until(lambda: world.pods.phase() == "Running", within=300)
    assert len(world.vsphere.vms) == 1


async def test_a_clone_that_is_lost_together_with_the_watch_is_adopted_when_that_is_back(world: World) -> None:
    world.vsphere.lose_reply("clone", errors.VCenterUnreachable("broke"))
    world.pods.create()
    await world.passes(CLONE_SECONDS / 2)
    world.vsphere.disconnect()
    await world.passes(100)
    assert (world.count("clone"), len(world.vsphere.vms)) == (1, 1)
    world.vsphere.connect(world.controller.inventory_changed)
    await world.until(lambda: world.pods.phase() == "Running")
    assert world.count("clone") == 1


async def test_lost_replies_of_everything_else_change_nothing(world: World) -> None:
    for call in ("pin", "power_off", "destroy"):
        world.vsphere.lose_reply(call, errors.VCenterUnreachable("broke"))
    await world.run_pod()
    world.pods.delete()
    await world.until(lambda: not world.vsphere.vms)
    assert world.pods.phase() == "gone"


def make_standby(moref: str) -> PodVM:
    """A standby clone as vSphere shows it."""
    nobody = make_identity(namespace="", name="", uid="")
    vm = make_vm(moref, identity=nobody, pin=f"sha256:{moref}", address=f"10.0.0.{moref[-2:]}", change_version="1")
    own = (f"10.1.0.{moref[-2:]}",)
    return replace(vm, name="vch-standby-small-c0", pod_addresses=own, origin=CloneOrigin("id-vm-7", "photon", "small"))


async def test_a_pod_whose_binding_may_have_worked_gets_no_second_vm(world: World) -> None:
    for moref in ("vm-80", "vm-81"):
        world.vsphere.vms[moref] = make_standby(moref)
        world.standby.there.append(world.vsphere.vms[moref])
    await world.restart()
    world.vsphere.behaviour.watch_lags = 20
    world.vsphere.lose_reply("bind", errors.VCenterUnreachable("broke"))
    world.pods.create()
    await world.until(lambda: world.pods.phase() == "Running", within=60)
    assert (world.count("bind"), world.count("clone"), len(world.vsphere.vms)) == (1, 0, 2)


async def test_a_pod_whose_binding_has_not_worked_gets_a_vm_later(world: World) -> None:
    world.vsphere.vms["vm-80"] = make_standby("vm-80")
    world.standby.there.append(world.vsphere.vms["vm-80"])
    await world.restart()
    world.vsphere.fail("bind", errors.VCenterUnreachable("broke"))
    await world.run_pod()
    assert (world.count("bind"), world.count("clone")) == (1, 1)


# A VM of no use.


async def test_a_vm_whose_agent_is_silent_is_replaced(world: World) -> None:
    world.vsphere.behaviour.agents_report = False
    world.pods.create()
    await world.until(lambda: world.count("clone") == 1)
    await world.passes(55)
    assert world.count("destroy") == 0
    world.vsphere.behaviour.agents_report = True
    await world.until(lambda: world.pods.phase() == "Running")
    assert (world.count("clone"), world.count("destroy", "vm-1"), len(world.vsphere.vms)) == (2, 1, 1)
    assert "VirtualMachineReplaced" in world.events.reasons()
    first, second = (request.extra_config[guestinfo.CLONE_ID] for request in world.vsphere.requests)
    assert first != second


async def test_vms_whose_guests_refuse_are_replaced_at_growing_distances(world: World) -> None:
    world.vsphere.behaviour.agents_refuse = True
    world.pods.create()
    await world.passes(300)
    assert 5 <= world.count("clone") <= 12
    world.vsphere.behaviour.agents_refuse = False
    await world.until(lambda: world.pods.phase() == "Running", within=400)


async def test_a_guest_that_refuses_to_be_fed_is_replaced_before_it_was_fed(world: World) -> None:
    world.guests.refuse = True
    world.pods.create()
    await world.until(lambda: world.count("destroy") == 1)
    world.guests.refuse = False
    await world.until(lambda: world.pods.phase() == "Running")
    assert world.count("clone") == 2


# A VM that is lost.


async def test_a_vm_that_is_powered_off_behind_our_back_fails_its_pod_after_a_while(world: World) -> None:
    vm = await world.run_pod()
    world.vsphere.change(vm.moref, power_state=PowerState.OFF)
    await world.passes(lifecycle.OFF_SETTLES - 1)
    assert world.pods.phase() == "Running"
    await world.until(lambda: world.pods.phase() == "Failed", within=3)
    assert world.pods.status()["reason"] == "VirtualMachineLost"
    assert any(each["type"] == "DisruptionTarget" for each in world.pods.status()["conditions"])
    await world.until(lambda: not world.vsphere.vms)
    await world.passes(100)
    assert world.count("clone") == 1


async def test_a_vm_that_is_soon_on_again_is_not_lost(world: World) -> None:
    vm = await world.run_pod()
    world.vsphere.change(vm.moref, power_state=PowerState.OFF)
    await world.passes(lifecycle.OFF_SETTLES - 2)
    world.vsphere.change(vm.moref, power_state=PowerState.ON)
    await world.passes(100)
    assert world.pods.phase() == "Running"


async def test_a_vm_that_is_destroyed_behind_our_back_fails_its_pod(world: World) -> None:
    vm = await world.run_pod()
    world.vsphere.vanish(vm.moref)
    await world.until(lambda: world.pods.status().get("reason") == "VirtualMachineLost")
    await world.passes(100)
    assert world.count("clone") == 1


async def test_a_vm_that_vanishes_while_nobody_watches_is_lost_when_somebody_does(world: World) -> None:
    vm = await world.run_pod()
    world.vsphere.disconnect()
    world.vsphere.vanish(vm.moref)
    await world.passes(100)
    assert world.pods.phase() == "Running"
    world.vsphere.connect(world.controller.inventory_changed)
    await world.until(lambda: world.pods.status().get("reason") == "VirtualMachineLost")


async def test_a_guest_that_refuses_to_serve_on_is_off_before_its_pod_has_failed(world: World) -> None:
    vm = await world.run_pod()
    await world.stop()
    world.guests.refuse = True
    world.start()
    await world.until(lambda: world.pods.status().get("reason") == "VirtualMachineLost")
    assert world.done.index(("power_off", vm.moref)) < world.done.index(("status", "web"))
    await world.until(lambda: not world.vsphere.vms)
    assert world.count("clone") == 1


async def test_a_guest_that_cannot_be_reached_is_not_lost(world: World) -> None:
    await world.run_pod()
    world.guests.reachable = False
    await world.passes(3600)
    assert world.pods.phase() == "Running"
    assert world.count("power_off") == 0


# The end of a Pod.


async def test_the_guest_ends_a_deleted_pod_and_its_vm_is_off_before_the_object_goes(world: World) -> None:
    vm = await world.run_pod()
    world.forget_done()
    world.pods.delete()
    await world.until(lambda: not world.vsphere.vms)
    assert world.pods.phase() == "gone"
    calls = [(call, what) for call, what in world.done if call != "guest status"]
    assert calls[:2] == [("power_off", vm.moref), ("delete", "web")]
    assert world.count("status") == 0, "the guest has said how the Pod ended"
    await world.until(lambda: not world.controller.knows(vm.identity.uid))


async def test_a_guest_that_cannot_be_reached_is_ended_after_the_grace_and_some(world: World) -> None:
    await world.run_pod()
    world.guests.reachable = False
    world.pods.delete(grace=30)
    await world.passes(30 + lifecycle.UNREACHABLE_AFTER_GRACE - 2)
    assert len(world.vsphere.running()) == 1
    await world.until(lambda: world.pods.phase() == "gone", within=5)
    await world.until(lambda: not world.vsphere.vms)


async def test_a_guest_that_does_not_end_its_pod_is_ended(world: World) -> None:
    await world.run_pod()
    world.guests.end_pods = False
    world.pods.delete(grace=30)
    await world.passes(30 + lifecycle.STUCK_AFTER_GRACE - 2)
    assert len(world.vsphere.running()) == 1
    await world.until(lambda: world.pods.phase() == "gone", within=5)


async def test_a_vm_that_cannot_be_switched_off_keeps_its_pod(world: World) -> None:
    await world.run_pod()
    world.vsphere.fail("power_off", *[errors.VCenterUnreachable("gone")] * 8)
    world.guests.reachable = False
    world.pods.delete(grace=1)
    await world.passes(60)
    assert world.pods.phase() != "gone"
    await world.until(lambda: world.pods.phase() == "gone", within=400)


@pytest.mark.parametrize("after", [0.0, CLONE_SECONDS / 2, CLONE_SECONDS + 0.01, CLONE_SECONDS + 0.1])
@pytest.mark.parametrize("grace", [0, 30])
async def test_a_pod_that_is_deleted_while_its_vm_is_cloned_leaves_no_vm(
    world: World, after: float, grace: float
) -> None:
    world.pods.create()
    await world.passes(after)
    world.pods.delete(grace=grace)
    await world.until(lambda: world.pods.phase() == "gone")
    await world.passes(2)
    assert world.vsphere.vms == {}
    assert world.guests.fed == {}
    assert not list(world.controller.workers())


async def test_a_vm_that_appears_late_is_waited_for_though_its_pod_is_deleted(world: World) -> None:
    world.vsphere.behaviour.watch_lags = 10
    world.pods.create()
    await world.passes(CLONE_SECONDS / 2)
    world.pods.delete()
    await world.passes(CLONE_SECONDS + 11)
    assert world.vsphere.vms == {}


async def test_a_pod_that_is_deleted_while_its_clones_reply_is_lost_leaves_no_vm(world: World) -> None:
    world.vsphere.lose_reply("clone", errors.VCenterUnreachable("broke"))
    world.pods.create()
    await world.passes(CLONE_SECONDS / 2)
    world.pods.delete()
    await world.until(lambda: world.pods.phase() == "gone")
    await world.passes(120)
    assert world.vsphere.vms == {}


async def test_a_pod_that_is_deleted_by_force_loses_its_vm(world: World) -> None:
    await world.run_pod()
    world.pods.delete(grace=0)
    await world.until(lambda: not world.vsphere.vms, within=5)


async def test_a_pod_that_has_ended_keeps_its_vm_for_its_logs_until_it_is_deleted(world: World) -> None:
    world.guests.exit_phase = "Succeeded"
    world.pods.create()
    await world.until(lambda: world.pods.phase() == "Succeeded")
    await world.passes(600)
    assert len(world.vsphere.running()) == 1
    world.pods.delete()
    await world.until(lambda: not world.vsphere.vms)
    assert world.pods.phase() == "gone"


async def test_a_pod_that_a_finalizer_keeps_has_no_vm_any_more(world: World) -> None:
    await world.run_pod()
    world.pods.hold("web", "example.com/wait")
    world.pods.delete()
    await world.until(lambda: not world.vsphere.vms)
    assert world.pods.phase() == "Succeeded"
    deletes = world.count("delete")
    await world.passes(300)
    assert world.count("delete") == deletes, "it is deleted as far as we are concerned"
    world.pods.hold("web")
    await world.until(lambda: world.pods.phase() == "gone")


async def test_a_final_delete_that_fails_is_sent_again(world: World) -> None:
    await world.run_pod()
    world.guests.reachable = False
    world.pods.fail("delete", *[errors.KubeUnavailable("down", code=503)] * 3)
    world.pods.delete(grace=1)
    await world.until(lambda: world.pods.phase() == "gone", within=120)


async def test_late_news_of_a_pod_that_is_gone_does_not_bring_it_back(world: World) -> None:
    await world.run_pod()
    late = world.pods.stored["web"]
    worker = world.controller.find("default", "web", None)
    assert worker is not None
    worker.gone()
    worker.see({**late, "metadata": {**late["metadata"], "resourceVersion": "999999"}})
    assert worker.pod is None


async def test_a_clone_that_is_not_permitted_puts_the_accounts_rights_in_doubt(world: World) -> None:
    world.vsphere.fail(
        "clone", errors.NoPermission("the account lacks the privilege VirtualMachine.Provisioning.Clone")
    )
    await world.run_pod()
    assert world.rights_doubted == 1


async def test_a_pod_that_waits_for_the_clusters_services_says_so(world: World) -> None:
    world.guests.services_known = False
    world.pods.create()
    await world.passes(60)
    assert "ServicesUnknown" in world.events.reasons()
    assert world.pods.phase() != "Running"


async def test_services_that_are_known_are_no_event(world: World) -> None:
    await world.run_pod()
    await world.passes(60)
    assert "ServicesUnknown" not in world.events.reasons()
