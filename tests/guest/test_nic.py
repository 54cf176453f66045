"""The network card, for real, in a network namespace of the test's own (needs root)."""

import asyncio
import ipaddress
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from vch_agent import netlink, nic
from vch_agent.netlink import Link
from vch_agent.nic import Cards

_PROGRAM = """
import asyncio, ipaddress, socket
from vch_agent import netlink, nic
told = ipaddress.ip_interface("10.9.0.17/24"), ipaddress.ip_address("10.9.0.1"), "52:54:00:12:34:56", nic.Cards("eth0")
for _ in range(2):  # idempotent
    asyncio.run(nic.configure(*told))
with netlink.Netlink() as wire:
    link = next(link for link in wire.links() if link.name == "eth0")
    print(link.mac, link.up, *wire.addresses(link.index, socket.AF_INET))
    print(open("/proc/net/route").read())
    asyncio.run(nic.configure(ipaddress.ip_interface("10.9.0.18/24"), None, None, nic.Cards("eth0")))
    print(*wire.addresses(link.index, socket.AF_INET))
    for _ in range(2):
        nic.release(nic.Cards("eth0"))
    link = next(link for link in wire.links() if link.name == "eth0")
    print(link.up, *wire.addresses(link.index, socket.AF_INET), len(open("/proc/net/route").readlines()))
nic.loopback()
"""


def test_the_card_gets_mac_address_and_route() -> None:
    made = "ip link add eth0 type veth peer name peer0 && ip link set peer0 up && ip addr add 10.9.0.3/24 dev eth0"
    command = ["unshare", "--net", "sh", "-c", f'{made} && exec "$@"', "sh", sys.executable, "-c", _PROGRAM]
    environment = {**os.environ, "PYTHONPATH": str(Path(nic.__file__).parents[1])}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    first, *routes, second, released = result.stdout.splitlines()
    assert released == "False 1"  # nothing is left for a freeze
    assert first == "52:54:00:12:34:56 True 10.9.0.17/24"  # the parent's address is gone
    assert second == "10.9.0.18/24"
    assert any(line.split()[:3] == ["eth0", "00000000", "0100090A"] for line in routes)


def test_links_are_read_without_privilege() -> None:
    with netlink.Netlink() as wire:
        loopback = next(link for link in wire.links() if link.name == "lo")
        assert not loopback.ethernet
        assert ipaddress.ip_interface("127.0.0.1/8") in wire.addresses(loopback.index, socket.AF_INET)


def test_an_error_of_the_kernel_is_raised() -> None:
    with netlink.Netlink() as wire, pytest.raises(OSError, match="rtnetlink"):
        wire.set_up(1 << 30, up=True)


async def test_an_interface_that_never_appears_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nic, "_APPEARS_WITHIN", 0.05)
    with netlink.Netlink() as wire, pytest.raises(nic.NoInterface, match="absent0 did not appear"):
        await asyncio.wait_for(nic.appeared(wire, nic.Cards("absent0").choose, "absent0"), 5)


def test_every_vmxnet3_card_is_rebound(tmp_path: Path) -> None:
    assert nic.rebind_vmxnet3(tmp_path) is False
    driver = tmp_path / "sys/bus/pci/drivers/vmxnet3"
    (driver / "0000:0b:00.0").mkdir(parents=True)
    assert nic.rebind_vmxnet3(tmp_path) is True
    assert [(driver / name).read_text() for name in ("unbind", "bind")] == ["0000:0b:00.0"] * 2


def _link(index: int, name: str, kind: str = "") -> Link:
    return Link(index, name, "", up=False, ethernet=name != "lo", kind=kind)


_LINKS = [_link(1, "lo"), _link(2, "dummy0", "dummy"), _link(3, "ens192"), _link(4, "vchpod", "veth"), _link(5, "eth1")]


@pytest.mark.parametrize(
    ("cards", "management", "pods"),
    [
        (Cards(), "ens192", "eth1"),
        (Cards("eth1"), "eth1", "ens192"),
        (Cards(pods="ens192"), "eth1", "ens192"),
        (Cards("dummy0", "vchpod"), "dummy0", "vchpod"),
        (Cards("absent", "ens192"), None, "ens192"),
    ],
)
def test_the_first_card_is_the_guests_and_the_second_the_pods(
    cards: Cards, management: str | None, pods: str | None
) -> None:
    found = [choose(_LINKS) for choose in (cards.choose, cards.choose_pods)]
    assert [link.name if link else None for link in found] == [management, pods]


def test_a_machine_with_one_card_has_none_for_the_pod() -> None:
    assert Cards().choose_pods(_LINKS[:4]) is None
    assert Cards().choose_pods([]) is None
