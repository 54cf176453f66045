"""What kopf sees of VirtualContainerHosts, told to the `fleet`. It decides nothing and writes nothing.

Only `on.event` is used: every replica sees every VCH, and kopf's other handlers would put finalizer and progress
annotations on it from each replica at once. The finalizer is ours (`kube.operator_objects`), written by the holder of
the VCH's Lease alone.
"""

from typing import Any

import kopf

from provider.fleet import Fleet
from provider.vch import GROUP, PLURAL, VERSION


def registry_of(fleet: Fleet) -> kopf.OperatorRegistry:
    """The handler that feeds a fleet."""
    registry = kopf.OperatorRegistry()

    def concerns(name: str, **_: Any) -> bool:
        return fleet.concerns(name)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, when=concerns)
    async def on_event(event: Any, **_: Any) -> None:
        vch = dict(event["object"])
        if event["type"] == "DELETED":
            await fleet.forget(vch)
        else:
            await fleet.see(vch)

    return registry
