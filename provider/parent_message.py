"""What a parent's agent is told, as far as it comes from the VCH and the image: `guestinfo.vch.parent`. Pure.

The agent's side is `guest/vch_agent/parent_message.py`. The *setup* is what makes parents differ; it goes into the
slot's digest, so that a change makes them outdated. Identity, time and seed are added when the parent is made.
"""

from collections.abc import Mapping
from typing import Any

Setup = dict[str, Any]


def message(
    *,
    parent_id: str,
    node: str,
    now: float,
    seed: str,
    setup: Mapping[str, Any],
    network: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The whole message. `network`: the address that images are pulled with; it is taken away before the freeze."""
    told = dict(setup)
    if network is not None and told.get("preloadImages"):
        told["network"] = dict(network)
    return {"parentId": parent_id, "node": node, "freeze": True, "time": now, "seed": seed, "setup": told}


def needs_network(setup: Mapping[str, Any]) -> bool:
    """Whether a parent has to have an address while it is prepared."""
    return bool(setup.get("preloadImages"))


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> Setup:
    """The VCH's part and the image's; they have no member in common."""
    return {**common, **own}
