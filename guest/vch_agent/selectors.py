"""Field and label selectors of list and watch requests, as far as the kubelet uses them. Pure."""

from collections.abc import Callable
from typing import Any

Selector = Callable[[dict[str, Any]], bool]

_FIELDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "metadata.name": lambda value: value["metadata"].get("name"),
    "metadata.namespace": lambda value: value["metadata"].get("namespace"),
    "spec.clusterIP": lambda value: value.get("spec", {}).get("clusterIP"),  # services: all but headless ones
    "spec.nodeName": lambda value: value.get("spec", {}).get("nodeName"),
}


def compile_selector(namespace: str, fields: str, labels: str) -> Selector:
    """A predicate for objects. Raises ValueError for a field or an operator that is not known."""
    tests = [_field(term) for term in fields.split(",") if term]
    tests += [_label(term.strip()) for term in labels.split(",") if term.strip()]
    if namespace:
        tests.append(lambda value: value["metadata"].get("namespace") == namespace)
    return lambda value: all(test(value) for test in tests)


def _split(term: str) -> tuple[str, str, bool]:
    """Key, value, whether equal is wanted."""
    for operator, equal in (("!=", False), ("==", True), ("=", True)):
        key, found, value = term.partition(operator)
        if found:
            return key, value, equal
    raise ValueError(f"selector {term!r}: use =, == or !=")


def _field(term: str) -> Selector:
    key, wanted, equal = _split(term)
    read = _FIELDS.get(key)
    if read is None:
        raise ValueError(f"field selector {key!r} is not one of {', '.join(_FIELDS)}")
    return lambda value: (read(value) == wanted) is equal


def _label(term: str) -> Selector:
    def labels(value: dict[str, Any]) -> dict[str, str]:
        return value["metadata"].get("labels") or {}

    if " " in term or "(" in term:
        raise ValueError(f"label selector {term!r}: sets are not supported")
    if term.startswith("!"):
        return lambda value: term[1:] not in labels(value)
    if "=" not in term:
        return lambda value: term in labels(value)
    key, wanted, equal = _split(term)
    return lambda value: (labels(value).get(key) == wanted) is equal
