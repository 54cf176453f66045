"""Series that a query reads are found by their shape."""

import pytest

from e2e.lab.queries import filled_in, selectors


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("absent(vch_build_info)", {"vch_build_info"}),
        ('sum by (vch, le) (rate(a_bucket{b="c}", d!~"e|f"}[5m])) > 5 * 60', {'a_bucket{b="c}", d!~"e|f"}'}),
        ("a_x / on (cluster, vch) group_left (node) (b_x > 0)", {"a_x", "b_x"}),
        ('a_x{b="c_d"} and on (e) f_x unless ignoring (g) h_x{}', {'a_x{b="c_d"}', "f_x", "h_x{}"}),
        ("time() - max by (server) (a_x) > 300 or vector(0)", {"a_x"}),
        ('histogram_quantile(0.99, rate(a:b{c=~"$d"}[$__rate_interval]))', {'a:b{c=~"$d"}'}),
    ],
)
def test_selectors(expression: str, expected: set[str]) -> None:
    assert {str(found) for found in selectors(expression)} == expected


def test_variables_are_filled_in() -> None:
    values = {"vch": "a|b", "__rate_interval": "5m"}
    assert filled_in('rate(x{vch=~"$vch", y="${vch}"}[$__rate_interval])', values) == 'rate(x{vch=~"a|b", y="a|b"}[5m])'


def test_a_variable_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled_in('x{y=~"$z"}', {})
