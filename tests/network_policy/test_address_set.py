"""Sets of addresses are sets, and equal ones are equal values."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.network_policy.address_set import EVERYONE, NOBODY, Address, AddressSet, union

NETWORK4 = ipaddress.ip_network("255.255.255.224/27")  # the last addresses there are
NETWORK6 = ipaddress.ip_network("::/123")
UNIVERSE: list[Address] = [*NETWORK4, *NETWORK6]
SETS = st.sets(st.sampled_from(UNIVERSE))


def members(addresses: AddressSet) -> set[Address]:
    return {each for each in UNIVERSE if each in addresses}


@given(SETS, SETS)
def test_operations_are_those_of_sets(one: set[Address], other: set[Address]) -> None:
    ours, theirs = AddressSet.of(one), AddressSet.of(other)
    assert members(ours) == one
    assert ours.minus(theirs) == AddressSet.of(one - other)
    assert ours.overlap(theirs) == AddressSet.of(one & other)
    assert union([ours, theirs]) == AddressSet.of(one | other)
    assert EVERYONE.minus(EVERYONE.minus(ours)) == ours
    assert bool(ours) == bool(one)


@given(SETS)
def test_the_texts_are_the_whole_set(one: set[Address]) -> None:
    read: set[Address] = set()
    for text in AddressSet.of(one).texts():
        if "/" in text:
            read |= set(ipaddress.ip_network(text))
        else:
            first, _, last = text.partition("-")
            read |= {each for each in UNIVERSE if _within(each, first, last or first)}
    assert read == one


def _within(address: Address, first: str, last: str) -> bool:
    bounds = ipaddress.ip_address(first), ipaddress.ip_address(last)
    return address.version == bounds[0].version and int(bounds[0]) <= int(address) <= int(bounds[1])


def test_everyone_is_two_blocks() -> None:
    assert list(EVERYONE.texts()) == ["0.0.0.0/0", "::/0"]
    assert list(NOBODY.texts()) == []


def test_exceptions_are_taken_out_of_a_block() -> None:
    block = AddressSet.block("172.17.0.0/16", ["172.17.1.0/24", "172.17.0.0/24"])
    assert list(block.texts()) == ["172.17.2.0-172.17.255.255"]


def test_bits_of_the_host_do_not_matter() -> None:
    assert AddressSet.block("10.0.0.7/24") == AddressSet.block("10.0.0.0/24")


@pytest.mark.parametrize("cidr", ["", "10.0.0.0/33", "example.com", "10.0.0/8"])
def test_what_is_no_cidr_is_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        AddressSet.block(cidr)
