"""Quantities mean what apimachinery says; fractions round up, as the scheduler rounds them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("2", "2"),
        (3, "3"),
        (1.5, "1.5"),
        ("1.", "1"),
        (".5", "0.5"),
        ("+1", "1"),
        ("-1", "-1"),
        ("100m", "0.1"),
        ("1u", "0.000001"),
        ("1n", "0.000000001"),
        ("1k", "1000"),
        ("1M", "1000000"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("1Ei", "1152921504606846976"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1e-3", "0.001"),
        ("1E", "1000000000000000000"),
    ],
)
def test_every_form_of_a_quantity_has_its_value(text: str | int | float, value: str) -> None:
    assert quantity.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1K", "1.2.3", "one", "0x10", "1e", "1e3Ki", "1e9999", "∞"])
def test_what_is_no_quantity_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity.parse(text)


def test_fractions_are_rounded_up() -> None:
    assert quantity.millis("1u") == 1
    assert quantity.millis("1500m") == 1500
    assert quantity.whole("1.1") == 2
    assert quantity.whole("100m") == 1


@pytest.mark.parametrize(("thousandths", "text"), [(0, "0"), (2000, "2"), (1500, "1500m"), (1, "1m")])
def test_cpus_are_shown_in_whole_cores_where_they_are(thousandths: int, text: str) -> None:
    assert quantity.format_cpu(thousandths) == text


@pytest.mark.parametrize(("size", "text"), [(1024, "1Ki"), (2**30, "1048576Ki"), (1025, "1025")])
def test_memory_is_shown_in_ki_where_that_is_exact(size: int, text: str) -> None:
    assert quantity.format_memory(size) == text


@given(st.integers(0, 2**50))
def test_what_is_shown_reads_back_as_what_it_was(amount: int) -> None:
    assert quantity.millis(quantity.format_cpu(amount)) == amount
    assert quantity.whole(quantity.format_memory(amount)) == amount
