"""Kubernetes quantities to whole numbers: CPU in thousandths of a core, memory in bytes. Pure.

The grammar is apimachinery's `resource.Quantity`; fractions are rounded up, as the scheduler does
(`MilliValue`, `Value`).
"""

import re
from decimal import ROUND_CEILING, Decimal

_SUFFIXES: dict[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(1000),
    "M": Decimal(1000) ** 2,
    "G": Decimal(1000) ** 3,
    "T": Decimal(1000) ** 4,
    "P": Decimal(1000) ** 5,
    "E": Decimal(1000) ** 6,
    "Ki": Decimal(1024),
    "Mi": Decimal(1024) ** 2,
    "Gi": Decimal(1024) ** 3,
    "Ti": Decimal(1024) ** 4,
    "Pi": Decimal(1024) ** 5,
    "Ei": Decimal(1024) ** 6,
}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_KIBI = 1024


def parse(text: str | int | float) -> Decimal:
    """The exact value. Raises ValueError."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{str(text)[:40]!r} is not a quantity")
    number, exponent, suffix = found.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def millis(text: str | int | float) -> int:
    """CPU in thousandths of a core."""
    return _up(parse(text) * 1000)


def whole(text: str | int | float) -> int:
    """Bytes, or a count."""
    return _up(parse(text))


def format_cpu(thousandths: int) -> str:
    """`2` or `1500m`."""
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def format_memory(size: int) -> str:
    """In Ki where that is exact, as a kubelet reports it."""
    return str(size) if size % _KIBI else f"{size // _KIBI}Ki"


def _up(value: Decimal) -> int:
    return int(value.to_integral_value(rounding=ROUND_CEILING))
