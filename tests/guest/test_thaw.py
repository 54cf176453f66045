"""Becoming a clone: the order of steps, random numbers, clock, names, keys."""

import asyncio
import os
import random
import struct
from pathlib import Path
from typing import Any, cast

import pytest
from vch_agent import clock, entropy, files, keys, names, pki, process, stillness, thaw
from vch_agent.gateway import Gateway
from vch_agent.guestinfo import GuestInfo
from vch_agent.identity import Identity
from vch_agent.settings import Platform
from vch_agent.thaw import Machine

from tests.guest import build
from tests.guest.build import RPCTOOL, Hypervisor

WHO = Identity.parse(build.identity(clientCA="PEM"))


class Recorder:
    """A machine that notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.machine = Machine(
            reseed=lambda seed: self.done.append(f"reseed {len(seed)}"),
            step_clock=self._clock,
            adopt_names=lambda who, etc: self.done.append(f"names {who.hostname}"),
            rebind_nic=self._rebind,
            configure_nic=self._nic,
        )
        self.gateway = cast("Gateway", self)

    async def configure(self, network: Any, mac: str | None) -> None:
        self.done.append(f"gateway {mac}")

    def _clock(self, told: float, *, forward_only: bool) -> float:
        self.done.append("clock")
        return 0.0

    def _rebind(self, root: Path) -> bool:
        self.done.append("rebind")
        return True

    async def _nic(self, address: Any, gateway: Any, mac: str | None, cards: Any) -> None:
        self.done.append(f"nic {mac}")


def test_random_numbers_come_before_the_clock(tmp_path: Path) -> None:
    recorder = Recorder()
    thaw.first(recorder.machine, build.settings(tmp_path), WHO, restarted=False)
    assert recorder.done == ["reseed 64", "clock"]


def test_a_restart_of_the_agent_turns_no_clock_back(tmp_path: Path) -> None:
    recorder = Recorder()
    thaw.first(recorder.machine, build.settings(tmp_path), WHO, restarted=True)
    assert recorder.done == []


def test_a_native_guest_leaves_the_hosts_clock_alone(tmp_path: Path) -> None:
    recorder = Recorder()
    thaw.first(recorder.machine, build.settings(tmp_path, platform=Platform.NATIVE), WHO, restarted=False)
    assert recorder.done == ["reseed 64"]


def test_a_vm_that_cannot_be_reseeded_does_not_go_on(tmp_path: Path) -> None:
    def refuse(seed: bytes) -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        thaw.first(Machine(reseed=refuse), build.settings(tmp_path), WHO, restarted=False)


async def test_the_mac_told_by_the_hypervisor_is_used(tmp_path: Path, hypervisor: Hypervisor) -> None:
    hypervisor.put("mac", "52:54:00:00:00:01")
    hypervisor.put("podMac", "52:54:00:00:00:02")
    recorder = Recorder()
    settings, asked = build.settings(tmp_path), GuestInfo(RPCTOOL)
    key = await thaw.settle_in(recorder.machine, settings, asked, WHO, recorder.gateway, thawed=True)
    assert recorder.done == ["names web", "nic 52:54:00:00:00:01", "gateway 52:54:00:00:00:02"]
    assert key.fingerprint.startswith("sha256:")


async def test_without_a_told_mac_the_driver_is_rebound_after_a_thaw_only(
    tmp_path: Path, hypervisor: Hypervisor
) -> None:
    both = ["nic None", "gateway None"]
    for thawed, steps in ((True, ["names web", "rebind", *both]), (False, ["names web", *both])):
        recorder = Recorder()
        settings, asked = build.settings(tmp_path), GuestInfo(RPCTOOL)
        await thaw.settle_in(recorder.machine, settings, asked, WHO, recorder.gateway, thawed=thawed)
        assert recorder.done == steps


def test_entropy_is_added_before_the_generators_are_reseeded() -> None:
    calls: list[tuple[int, Any]] = []
    entropy.reseed(b"s" * 64, lambda fd, request, argument: calls.append((request, argument)), "/dev/null")
    (add, pool), (reseed, _) = calls
    assert (add, reseed) == (entropy.RNDADDENTROPY, entropy.RNDRESEEDCRNG)
    bits, length = struct.unpack_from("ii", pool)
    assert (bits, length, len(pool)) == (512, 96, 8 + 96)
    assert pool[8:72] == b"s" * 64


def test_siblings_of_one_image_draw_different_numbers_after_the_reseed() -> None:
    """Siblings are forks of one process with one generator state; without the reseed all 20 draw the same number."""

    def siblings(reseed: bool) -> set[bytes]:
        random.seed(1)
        drawn = set()
        for _ in range(20):
            reader, writer = os.pipe()
            if (child := os.fork()) == 0:
                random.seed(1)  # CPython reseeds nothing on fork; make sure the image is the same
                if reseed:
                    entropy.reseed(os.urandom(64), lambda *_: None, "/dev/null")
                os.write(writer, random.randbytes(16))
                os._exit(0)
            os.close(writer)
            drawn.add(os.read(reader, 16))
            os.close(reader)
            os.waitpid(child, 0)
        return drawn

    assert len(siblings(reseed=False)) == 1
    assert len(siblings(reseed=True)) == 20


@pytest.mark.parametrize(
    ("told", "now", "forward_only", "target"),
    [
        (1000.0, 100.0, True, 1000.0),  # frozen for a while
        (1000.0, 999.5, True, None),  # near enough
        (1000.0, 5000.0, True, None),  # a reboot much later: the identity's time is the past
        (1000.0, 1010.0, False, None),  # read late
        (1000.0, 5000.0, False, 1000.0),  # plainly wrong
    ],
)
def test_the_clock_is_stepped_only_when_it_is_wrong(
    told: float, now: float, forward_only: bool, target: float | None
) -> None:
    assert clock.correction(told, now, forward_only=forward_only) == target


def test_the_guest_takes_the_pods_names(tmp_path: Path) -> None:
    said: list[str] = []
    names.adopt(WHO, tmp_path, said.append)
    assert said == ["web"]
    assert (tmp_path / "hosts").read_text().endswith("127.0.0.1\tweb\n")
    assert (tmp_path / "resolv.conf").read_text() == "nameserver 10.0.0.10\n"
    assert (tmp_path / "machine-id").read_text().strip() == names.machine_id("clone-1") != names.machine_id("clone-2")


async def test_the_key_survives_a_reboot_and_is_one_clones_only(tmp_path: Path) -> None:
    first = await keys.obtain("openssl", tmp_path / "lib", WHO)
    assert await keys.obtain("/nonexistent", tmp_path / "lib", WHO) == first
    assert first.key.stat().st_mode & 0o077 == 0
    sibling = Identity.parse(build.identity(clientCA="PEM", cloneId="clone-2"))
    assert (await keys.obtain("openssl", tmp_path / "other", sibling)).fingerprint != first.fingerprint
    with pytest.raises(keys.ForeignDisk, match="clone-1"):
        await keys.obtain("openssl", tmp_path / "lib", sibling)


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    files.write(path, "one")
    files.write(path, "two")
    assert (files.read(path), path.stat().st_mode & 0o777) == ("two", 0o600)
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    assert files.read(tmp_path / "absent") is None


async def test_a_program_that_waited_through_the_freeze_makes_the_key_it_is_told_to(tmp_path: Path) -> None:
    waiting = pki.Waiting("openssl", tmp_path / "lib")
    odd = Identity.parse(build.identity(clientCA="PEM", pod={"namespace": "a", "name": "b", "uid": 'u"id;$x\\1#'}))
    key = await keys.obtain("/nonexistent", tmp_path / "lib", odd, waiting)
    show = ["openssl", "x509", "-in", str(key.cert), "-noout", "-subject", "-ext", "subjectAltName,extendedKeyUsage"]
    shown = await process.check(show)
    assert 'u\\"id;$x\\\\1#' in shown
    assert "IP Address:127.0.0.1" in shown
    assert "TLS Web Server Authentication" in shown
    assert sorted(path.name for path in (tmp_path / "lib").iterdir()) == ["clone-id", "tls.crt", "tls.key"]
    assert key.key.stat().st_mode & 0o777 == 0o600
    await waiting.close()


async def test_a_waiting_program_that_is_not_needed_is_ended_and_makes_nothing(tmp_path: Path) -> None:
    waiting = pki.Waiting("openssl", tmp_path / "lib")
    await asyncio.sleep(0)
    await waiting.close()
    assert list((tmp_path / "lib").iterdir()) == []


def test_services_are_held_still_and_let_go_where_the_kernel_can_do_that(tmp_path: Path) -> None:
    stillness.hold(tmp_path)  # a guest without cgroup v2: nothing to do
    switch = tmp_path / "sys/fs/cgroup/system.slice/kubelet.service/cgroup.freeze"
    switch.parent.mkdir(parents=True)
    switch.write_text("0")
    stillness.hold(tmp_path)
    assert switch.read_text() == "1"
    stillness.release(tmp_path)
    assert switch.read_text() == "0"
