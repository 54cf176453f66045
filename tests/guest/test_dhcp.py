"""DHCP's messages: what a server says is understood or ignored, never believed by half."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vch_agent import arp_probe, dhcp
from vch_agent.dhcp import Client, Kind, Message

from tests.guest.dhcp_server import Server

CLIENT = Client("52:54:00:00:00:02", b"\0clone-1", "web")
TRANSACTION = 0x1234


def frame(payload: bytes, source: int = 67, target: int = 68) -> bytes:
    """A server's message as it comes from the card; no checksum, as between virtual cards."""
    udp = struct.pack("!HHHH", source, target, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + bytes(8)
    return b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x08\0" + ip + udp + b"\0" * 4


def answered(server: Server, sent: bytes) -> Message:
    answer = server.answer(sent[14 + 20 + 8 :])
    assert answer is not None
    message = dhcp.parse(frame(answer))
    assert message is not None
    return message


def message(**options: bytes) -> Message:
    codes = {"mask": 1, "seconds": 51, "server": 54, "renew": 58, "rebind": 59}
    usual = {"mask": b"\xff\xff\xff\0", "seconds": b"\0\0\x0e\x10", "server": bytes((10, 78, 0, 1))} | options
    told = {codes[name]: value for name, value in usual.items()}
    return Message(Kind.ACK, 1, CLIENT.mac, "02:00:00:00:00:01", ipaddress.IPv4Address("10.78.0.251"), told)


def test_an_offer_is_requested_and_becomes_a_lease() -> None:
    server = Server(["10.78.0.251"])
    offer = answered(server, dhcp.discover(CLIENT, TRANSACTION))
    assert (offer.kind, offer.transaction, offer.mac) == (Kind.OFFER, TRANSACTION, CLIENT.mac)
    lease = dhcp.lease(answered(server, dhcp.request(CLIENT, TRANSACTION, offer)))
    assert (str(lease.address), str(lease.gateway), str(lease.server)) == ("10.78.0.251/24", "10.78.0.1", "10.78.0.1")
    assert (lease.server_mac, lease.seconds) == ("02:00:00:00:00:01", 3600)
    assert (lease.renew_after, lease.rebind_after) == (1800, 3150)


def test_an_own_message_has_right_checksums_and_is_no_servers() -> None:
    sent = dhcp.discover(CLIENT, TRANSACTION)
    assert sum_of(sent[14:34]) == 0xFFFF
    udp = sent[34:]
    assert sum_of(sent[26:34] + struct.pack("!BBH", 0, 17, len(udp)) + udp) == 0xFFFF
    assert dhcp.parse(sent) is None


def test_renewals_go_to_where_the_lease_came_from() -> None:
    lease = dhcp.lease(message())
    sent = dhcp.renew(CLIENT, TRANSACTION, lease)
    assert (sent[:6].hex(":"), sent[30:34]) == ("02:00:00:00:00:01", lease.server.packed)
    assert dhcp.rebind(CLIENT, TRANSACTION, lease)[:6] == b"\xff" * 6


@pytest.mark.parametrize(
    ("options", "wrong"),
    [({"server": b""}, "no server"), ({"seconds": b"\0\0\0\0"}, "no time"), ({"mask": b""}, "no subnet mask"),
     ({"mask": b"\xff\0\xff\0"}, "mask")],
)  # fmt: skip
def test_an_ack_that_cannot_be_used_is_said_so(options: dict[str, bytes], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        dhcp.lease(message(**options))


def test_timers_that_make_no_sense_are_the_usual_ones() -> None:
    lease = dhcp.lease(message(renew=b"\0\0\x0e\x10", rebind=b"\0\0\0\1"))
    assert (lease.renew_after, lease.rebind_after) == (1800, 3150)


def test_a_lease_for_ever_is_never_renewed() -> None:
    assert dhcp.endless(dhcp.lease(message(seconds=b"\xff" * 4)))


@given(st.binary(max_size=600))
def test_whatever_comes_is_a_message_or_nothing(data: bytes) -> None:
    dhcp.parse(data)
    dhcp.parse(frame(data))


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_message_is_a_message_or_nothing(at: int, value: int) -> None:
    server = Server(["10.78.0.251"])
    whole = frame(server.answer(dhcp.discover(CLIENT, TRANSACTION)[42:]) or b"")
    damaged = bytearray(whole)
    damaged[at % len(whole)] = value
    for each in (bytes(damaged), whole[:at]):
        parsed = dhcp.parse(each)
        if parsed is not None and parsed.kind is Kind.ACK:
            dhcp.lease(parsed)


def test_the_owner_of_an_address_is_known_by_what_it_says_of_itself() -> None:
    address = bytes((10, 78, 0, 251))
    own, other = CLIENT.mac, "52:54:00:00:00:09"
    assert arp_probe.holder(arp_probe.frame(own, address), own, address) is None
    assert arp_probe.holder(arp_probe.frame(other, address), own, address) == other, "it is about to take it"
    assert arp_probe.holder(arp_probe.frame(other, bytes(4)), own, address) is None


def sum_of(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
