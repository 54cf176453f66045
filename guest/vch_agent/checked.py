"""Parts of a message from outside, of the form that is required: each error names the field `at` which it is. Pure.

Of general form only; what is peculiar to one message is parsed where that is (`setup`).
"""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit


def addresses(value: Any, at: str) -> tuple[str, ...]:
    """IP addresses, written as the kernel does. Raises ValueError."""
    return tuple(str(address(each, f"{at}[{i}]", ipaddress.ip_address)) for i, each in enumerate(listed(value, at)))


def address(value: Any, at: str, parsed: Any) -> Any:
    """What `parsed` (of the module ipaddress) makes of it. Raises ValueError."""
    try:
        return parsed(line(value, at))
    except ValueError as error:
        raise ValueError(f"{at}: {str(error).removeprefix(f'{at}: ')}") from error


def url(value: Any, at: str) -> str:
    """An http:// or https:// address, without a slash at its end. Raises ValueError."""
    text = line(value, at)
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname or '"' in text:
        raise ValueError(f"{at}: {text!r} is not an http:// or https:// address")
    return text.rstrip("/")


def texts(value: Any, at: str, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
    """Each of that pattern and none twice; `what` one is. Raises ValueError."""
    for each in (found := listed(value, at)):
        if not isinstance(each, str) or not pattern.fullmatch(each):
            raise ValueError(f"{at}: {each!r} is not {what}")
    return union((), tuple(found))


def line(value: Any, at: str) -> str:
    """One line of text. Raises ValueError."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{at}: one line of text is required")
    return value


def listed(value: Any, at: str, *, required: bool = False) -> list[Any]:
    """A list; none is an empty one, unless it is required. Raises ValueError."""
    if value is None and not required:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{at}: a list is required")
    return value


def mapping(value: Any, at: str, *, required: bool = False) -> dict[str, Any]:
    """An object; none is an empty one, unless it is required. Raises ValueError."""
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{at}: an object is required")
    return value


def union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Both without what is there twice, in their order."""
    return tuple(dict.fromkeys((*first, *second)))
