"""Against the simulator: logging in, finding names, cloning, and what happens when vCenter does not behave."""

import asyncio
import os
import signal

import pytest
from pyVmomi import vim

from provider import guestinfo
from provider.errors import (
    CertificateMismatch,
    DatastoreFull,
    HostUnavailable,
    InsufficientResources,
    InvalidLogin,
    NameTaken,
    ParentNotFound,
    ParentNotFrozen,
    ParentUnsuitable,
    ProviderError,
    StandbyTaken,
    TaskFailed,
    VCenterUnreachable,
    VMBusy,
    VMGone,
)
from provider.podvm import Appeared, Lost, PowerState, Synced, Vanished
from provider.vsphere import vcenter, watch

from .conftest import PASSWORD, USER, Simulator, Watched, make_clone, make_facts


def of(uid: str):  # type: ignore[no-untyped-def]
    """An event about the pod VM of this Pod."""
    return lambda event: isinstance(event, Appeared) and event.vm.identity.uid == uid


async def test_a_wrong_thumbprint_is_noticed_before_the_password_is_sent(simulator: Simulator) -> None:
    with pytest.raises(CertificateMismatch, match="thumbprint"):
        await simulator.connect(thumbprint=":".join(["00"] * 32))


async def test_an_untrusted_certificate_is_refused(simulator: Simulator) -> None:
    with pytest.raises(CertificateMismatch, match="not trusted"):
        await simulator.connect(thumbprint=None)


async def test_a_wrong_password_is_told_apart(simulator: Simulator) -> None:
    with pytest.raises(InvalidLogin):
        await vcenter.connect(simulator.server, USER, PASSWORD + "!", thumbprint=simulator.thumbprint)


async def test_nobody_listening_is_unreachable(simulator: Simulator) -> None:
    simulator.stop()
    with pytest.raises(VCenterUnreachable):
        await simulator.connect()


async def test_a_pod_vm_is_cloned_pinned_ended_and_each_step_is_told(watched: Watched) -> None:
    moref = await watched.vc.clone(make_clone(watched.parent))
    told = await watched.until(of("uid-1"))
    assert (told.vm.moref, told.vm.address, told.vm.pin) == (moref, "192.0.2.7", None)
    assert told.vm.host == await watched.raw(lambda _: watched.vm(moref).runtime.host._moId)
    await watched.vc.pin(moref, "sha256:ab", "default")
    await watched.until(lambda event: of("uid-1")(event) and event.vm.pin == "sha256:ab")
    await watched.vc.power_off(moref)
    await watched.until(lambda event: of("uid-1")(event) and event.vm.power_state is PowerState.OFF)
    await watched.vc.destroy(moref)
    await watched.until(lambda event: event == Vanished("uid-1", moref))


async def test_ending_what_has_ended_is_success(watched: Watched) -> None:
    moref = await watched.vc.clone(make_clone(watched.parent))
    for _ in range(2):
        await watched.vc.power_off(moref)
    for _ in range(2):
        await watched.vc.destroy(moref)
    await watched.vc.power_off(moref)


async def test_fifty_clones_at_once(watched: Watched) -> None:
    requests = [make_clone(watched.parent, f"pod-{i}", uid=f"uid-{i}") for i in range(50)]
    assert len(set(await asyncio.gather(*map(watched.vc.clone, requests)))) == 50


async def test_a_name_that_is_taken(watched: Watched) -> None:
    await watched.vc.clone(make_clone(watched.parent))
    with pytest.raises(NameTaken, match="pod-1"):
        await watched.vc.clone(make_clone(watched.parent))


async def test_a_parent_that_is_off_is_not_frozen(watched: Watched) -> None:
    await watched.vc.power_off(watched.parent)
    with pytest.raises(ParentNotFrozen):
        await watched.vc.clone(make_clone(watched.parent))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("InsufficientResourcesFault", InsufficientResources),
        ("NoDiskSpace", DatastoreFull),
        ("InvalidHostConnectionState", HostUnavailable),
        ("InvalidArgument", ParentUnsuitable),
        ("TaskInProgress", VMBusy),
        ("SystemError", TaskFailed),
    ],
)
async def test_a_fault_says_whether_trying_again_can_help(watched: Watched, fault: str, error: type[Exception]) -> None:
    watched.simulator.post("/faults", {"method": "InstantClone_Task", "fault": fault, "when": "before", "count": 1})
    with pytest.raises(error):
        await watched.vc.clone(make_clone(watched.parent))


async def test_a_parent_that_is_gone(watched: Watched) -> None:
    with pytest.raises(ParentNotFound):
        await watched.vc.clone(make_clone("vm-999"))


async def test_a_standby_vm_is_bound_once(watched: Watched) -> None:
    moref = await watched.vc.clone(make_clone(watched.parent, "standby-1", uid=""))
    told = await watched.until(lambda event: isinstance(event, Appeared) and event.vm.standby)
    assert told.vm.change_version
    bound = guestinfo.encode_bind(make_facts())
    await watched.vc.bind(moref, told.vm.change_version, bound)
    after = await watched.until(of("uid-1"))
    assert (after.vm.moref, after.vm.clone_id, after.vm.standby) == (moref, told.vm.clone_id, False)
    other = guestinfo.encode_bind(make_facts("pod-2", uid="uid-2"))
    with pytest.raises(StandbyTaken):
        await watched.vc.bind(moref, told.vm.change_version, other)
    with pytest.raises(StandbyTaken):
        await watched.vc.bind(moref, after.vm.change_version, other)
    assert (await watched.extra_config(moref))[guestinfo.POD_UID] == "uid-1"


async def test_binding_what_is_gone(watched: Watched) -> None:
    with pytest.raises(VMGone):
        await watched.vc.bind("vm-999", "1", guestinfo.encode_bind(make_facts()))


async def test_nothing_is_written_once_the_fence_is_down(watched: Watched) -> None:
    class LeaseLostError(ProviderError):
        pass

    def refuse() -> None:
        raise LeaseLostError

    vm = watched.vm(watched.parent)
    watched.vc._session._fence = refuse
    for write in (
        watched.vc.clone(make_clone(watched.parent)),
        watched.vc.bind(watched.parent, "1", {}),
        watched.vc.pin(watched.parent, "sha256:ab", "default"),
        watched.vc.power_on(watched.parent),
        watched.vc.power_off(watched.parent),
        watched.vc.destroy(watched.parent),
    ):
        with pytest.raises(LeaseLostError):
            await write
    await watched.vc.about()
    assert await watched.raw(lambda _: vm.runtime.powerState) == "poweredOn"


async def test_a_lost_reply_is_unknown_and_the_vm_is_told_all_the_same(watched: Watched) -> None:
    watched.simulator.post("/faults", {"method": "InstantClone_Task", "when": "reply-lost", "count": 1})
    with pytest.raises(VCenterUnreachable):
        await watched.vc.clone(make_clone(watched.parent))
    await watched.until(of("uid-1"))


async def test_a_session_that_vcenter_dropped_is_renewed(watched: Watched) -> None:
    def drop() -> None:
        watched.vc._session.content.sessionManager.Logout()

    await asyncio.to_thread(drop)
    await watched.vc.clone(make_clone(watched.parent))


async def test_a_restarted_vcenter_is_lost_and_told_anew(watched: Watched) -> None:
    simulator = watched.simulator
    seen = len(watched.events)
    simulator.stop()
    await watched.until(lambda event: isinstance(event, Lost), since=seen)
    simulator.start(simulator.server)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WAIT", 2)
    monkeypatch.setattr(vcenter, "TIMEOUT", 5.0)


@pytest.mark.usefixtures("_impatient")
async def test_a_vcenter_that_hangs_is_noticed(watched: Watched) -> None:
    seen = len(watched.events)
    os.kill(watched.simulator.process.pid, signal.SIGSTOP)
    try:
        await watched.until(lambda event: isinstance(event, Lost), since=seen)
    finally:
        os.kill(watched.simulator.process.pid, signal.SIGCONT)
    await watched.until(lambda event: isinstance(event, Synced), since=seen)


async def test_what_is_not_marked_is_not_told(watched: Watched) -> None:
    spec = vim.vm.InstantCloneSpec(name="foreign", location=vim.vm.RelocateSpec())
    await watched.raw(lambda _: watched.vm(watched.parent).InstantClone_Task(spec))
    await watched.vc.clone(make_clone(watched.parent))
    await watched.until(of("uid-1"))
    assert not [event for event in watched.events if isinstance(event, Appeared) and event.vm.name == "foreign"]
