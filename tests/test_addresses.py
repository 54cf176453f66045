"""Addresses: the lowest free one, from ranges that make sense."""

import pytest

from provider.addresses import AddressBook, PodVMAddresses, VMAddresses, parse_ranges
from provider.errors import AddressesExhausted, NamespaceNotListed


def test_the_next_free_address_is_taken_and_the_next_range_after_the_first() -> None:
    pool = parse_ranges(["10.0.0.10-10.0.0.11", "10.0.1.5"])
    assert pool.size == 3
    assert pool.next_free(set()) == "10.0.0.10"
    assert pool.next_free({"10.0.0.10"}) == "10.0.0.11"
    assert pool.next_free({"10.0.0.10", "10.0.0.11"}) == "10.0.1.5"


def test_an_empty_pool_says_what_to_do() -> None:
    with pytest.raises(AddressesExhausted, match=r"spec\.network\.ranges"):
        parse_ranges(["10.0.0.1"]).next_free({"10.0.0.1"})


@pytest.mark.parametrize(
    ("ranges", "reserved", "word"),
    [
        (["10.0.0.9-10.0.0.1"], (), "ends before it begins"),
        (["10.0.0.300"], (), "neither"),
        (["10.0.0.1-10.0.0.9", "10.0.0.5"], (), "overlap"),
        (["10.0.0.1-10.0.0.9"], ("10.0.0.1",), "10.0.0.1"),
        (["fd00::5"], (), "neither an IPv4 address"),
    ],
)
def test_ranges_that_make_no_sense_are_named(ranges: list[str], reserved: tuple[str, ...], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_ranges(ranges, reserved)


def test_an_address_that_was_given_back_is_not_given_out_at_once() -> None:
    book = AddressBook(parse_ranges(["10.0.0.5-10.0.0.7", "10.0.1.1"]), set)
    given = []
    for number in range(6):
        given.append(book.reserve(f"uid-{number}"))
        book.release(f"uid-{number}")
    assert given == ["10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.1.1", "10.0.0.5", "10.0.0.6"]
    book.reserve("held")
    assert {book.reserve(f"more-{number}") for number in range(3)} == {"10.0.1.1", "10.0.0.5", "10.0.0.6"}


PODS = "spec.podNetwork.ranges"
PODS6 = "spec.podNetwork.ipv6.ranges"


def test_a_pool_of_ipv6_may_be_of_any_size() -> None:
    pool = parse_ranges(["fd00:10::10-fd00:10::ffff:ffff:ffff:ffff", "fd00:11::5"], field=PODS6, version=6)
    assert pool.size == 2**64 - 16 + 1
    assert pool.next_free({"10.1.0.5", "", "fd00:10::10"}) == "fd00:10::11"
    assert pool.next_free(set(), "fd00:10::ffff:ffff:ffff:ffff") == "fd00:11::5"
    assert pool.next_free({"fd00:10:0:0:0:0:0:10"}, "fd00:11::5") == "fd00:10::11", "addresses are one, however written"


@pytest.mark.parametrize(
    ("ranges", "reserved", "word"),
    [
        (["fd00::9-fd00::1"], (), "ends before it begins"),
        (["10.0.0.5"], (), "neither an IPv6 address"),
        (["fd00::5-10.0.0.9"], (), "neither an IPv6 address"),
        (["fd00::1-fd00::9", "fd00::5-fd01::"], (), "overlap"),
        (["fd00::1-fd00::9"], ("10.0.0.1", "fd00::2"), "contains fd00::2"),
    ],
)
def test_ranges_of_ipv6_that_make_no_sense_are_named(ranges: list[str], reserved: tuple[str, ...], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_ranges(ranges, reserved, PODS6, 6)


def test_a_pod_has_an_address_of_each_family_or_none_is_kept() -> None:
    used: set[str] = set()
    pods = [parse_ranges(["10.1.0.5-10.1.0.7"], field=PODS), parse_ranges(["fd00::5-fd00::6"], (), PODS6, 6)]
    book = PodVMAddresses(parse_ranges(["10.0.0.5-10.0.0.9"]), pods, lambda: used)
    assert len(book) == 2
    assert book.reserve("a", "") == VMAddresses("10.0.0.5", ("10.1.0.5", "fd00::5"))
    book.reserve("b", "")
    with pytest.raises(AddressesExhausted, match=r"all 2 addresses of spec\.podNetwork\.ipv6\.ranges"):
        book.reserve("c", "")
    assert book.lend("parent") == "10.0.0.8", "not the one that was free last"
    book.release("a")
    assert book.reserve("c", "").pods == ("10.1.0.5", "fd00::5")


@pytest.mark.parametrize(
    ("pods", "fits"),
    [
        (("10.1.0.5", "fd00::5"), True),
        (("10.1.0.5",), False),
        (("10.1.0.5", "fd01::5"), False),
        (("10.1.0.9", "fd00::5"), False),
        (("fd00::5", "10.1.0.5"), False),
    ],
)
def test_addresses_of_ranges_that_were_edited_do_not_fit(pods: tuple[str, ...], fits: bool) -> None:
    pools = [parse_ranges(["10.1.0.5-10.1.0.7"], field=PODS), parse_ranges(["fd00::5"], (), PODS6, 6)]
    book = PodVMAddresses(parse_ranges(["10.0.0.5-10.0.0.9"]), pools, set)
    assert book.fits(VMAddresses("10.0.0.5", pods)) is fits
    assert not book.fits(VMAddresses("10.0.0.10", pods))


def test_a_vm_and_its_pod_have_an_address_each_until_they_are_given_back() -> None:
    pods = parse_ranges(["10.1.0.5-10.1.0.7"], field=PODS)
    book = PodVMAddresses(parse_ranges(["10.0.0.5-10.0.0.9"]), [pods], set)
    assert len(book) == 3, "the smaller pool is the limit"
    assert book.reserve("a", "default") == book.reserve("a", "default") == VMAddresses("10.0.0.5", ("10.1.0.5",))
    assert book.reserve("b", "default") == VMAddresses("10.0.0.6", ("10.1.0.6",))
    book.release("a")
    assert [book.reserve(holder, "default").pods for holder in ("c", "d")] == [("10.1.0.7",), ("10.1.0.5",)]


def test_the_pool_that_is_empty_is_named_and_nothing_of_the_other_is_kept() -> None:
    used: set[str] = set()
    pods = parse_ranges(["10.1.0.5"], field=PODS)
    book = PodVMAddresses(parse_ranges(["10.0.0.5-10.0.0.6"]), [pods], lambda: used)
    book.reserve("a", "default")
    with pytest.raises(AddressesExhausted, match=r"all 1 addresses of spec\.podNetwork\.ranges"):
        book.reserve("b", "default")
    assert book.lend("parent") == "10.0.0.6"
    with pytest.raises(AddressesExhausted, match=r"spec\.network\.ranges"):
        book.reserve("b", "default")


def test_pods_have_the_addresses_of_their_namespace() -> None:
    used = {"10.2.0.5"}
    book = PodVMAddresses(
        parse_ranges(["10.0.0.5-10.0.0.9"]),
        (),
        lambda: used,
        {"blue": [parse_ranges(["10.1.0.5"], field="blue's")], "red": [parse_ranges(["10.2.0.5-10.2.0.6"])]},
    )
    assert len(book) == 3
    assert book.reserve("a", "red") == VMAddresses("10.0.0.5", ("10.2.0.6",)), "one is in the inventory"
    assert book.reserve("b", "blue").pods == ("10.1.0.5",)
    with pytest.raises(AddressesExhausted, match="blue's"):
        book.reserve("c", "blue")
    with pytest.raises(NamespaceNotListed, match=r"green .*spec\.podNetwork\.namespaces"):
        book.reserve("d", "green")
    book.release("b")
    assert book.reserve("c", "blue").pods == ("10.1.0.5",)
    assert not book.fits(VMAddresses("10.0.0.9", ("10.1.0.5",))), "nobody knows whose Pod a standby clone's will be"


@pytest.mark.parametrize(
    ("ranges", "first", "second"),
    [
        (["10.0.0.5-10.0.0.8"], ["10.0.0.5-10.0.0.6"], ["10.0.0.7-10.0.0.8"]),
        (["10.0.0.5-10.0.0.9"], ["10.0.0.5-10.0.0.7"], ["10.0.0.8-10.0.0.9"]),
        (["10.0.0.5", "10.0.1.5-10.0.1.7"], ["10.0.0.5", "10.0.1.5"], ["10.0.1.6-10.0.1.7"]),
        (["10.0.0.5"], ["10.0.0.5"], []),
    ],
)
def test_a_pool_has_two_halves(ranges: list[str], first: list[str], second: list[str]) -> None:
    assert tuple(half.texts() for half in parse_ranges(ranges).halves()) == (first, second)
