"""What kopf sees of our objects, told to the `fleet` and the `catalog`. It decides nothing and writes nothing.

Only `on.event` is used: every replica sees every VCH, and kopf's other handlers would put finalizer and progress
annotations on it from each replica at once. The finalizer is ours (`kube.operator_objects`), written by the holder of
the VCH's Lease alone.
"""

from typing import Any

import kopf

from provider.api import image, vm_class
from provider.api.fields import GROUP, VERSION
from provider.api.vch import PLURAL
from provider.catalog import Catalog
from provider.fleet import Fleet


def registry_of(fleet: Fleet, catalog: Catalog) -> kopf.OperatorRegistry:
    """The handlers that feed a fleet and the catalog of classes and images."""
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

    for plural in (vm_class.PLURAL, image.PLURAL):

        @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=plural)
        async def on_thing(event: Any, **_: Any) -> None:
            thing = dict(event["object"])
            if event["type"] == "DELETED":
                catalog.forget(thing["kind"], thing["metadata"]["name"])
            else:
                catalog.see(thing)

    return registry
