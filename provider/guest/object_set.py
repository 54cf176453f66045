"""The frames that lead a guest from one complete set of objects to another. Pure; `link` sends them."""

from typing import Any

from provider.feed import KubeObject

Key = tuple[str, str, str, str]


def difference(before: dict[Key, KubeObject], after: dict[Key, KubeObject]) -> list[dict[str, Any]]:
    """The frames that lead from one set of objects to another. A namesake with another UID is removed first."""
    removed = [
        {"type": "remove", "object": _reference(thing)}
        for key, thing in before.items()
        if key not in after or _uid(after[key]) != _uid(thing)
    ]
    applied = [{"type": "apply", "object": thing} for key, thing in after.items() if before.get(key) != thing]
    return [*removed, *applied]


def key_of(thing: KubeObject) -> Key:
    """What tells an object from all others."""
    meta = thing["metadata"]
    return thing["apiVersion"], thing["kind"], meta.get("namespace", ""), meta["name"]


def _uid(thing: KubeObject) -> str | None:
    uid = thing["metadata"].get("uid")
    return None if uid is None else str(uid)


def _reference(thing: KubeObject) -> KubeObject:
    meta = {key: thing["metadata"][key] for key in ("namespace", "name", "uid") if key in thing["metadata"]}
    return {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": meta}
