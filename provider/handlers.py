"""kopf's handlers of VirtualContainerHosts: what is there is told to the `fleet`, what goes is drained first.

The finalizer that kopf puts on a VirtualContainerHost is what keeps it until its Pods have ended in peace.
"""

from typing import Any

import kopf

from provider.api.fields import GROUP, VERSION
from provider.api.vch import PLURAL
from provider.fleet import Fleet
from provider.kube import embedded

FINALIZER = "vch.dev/drain"


def registry_of(fleet: Fleet) -> kopf.OperatorRegistry:
    """The handlers that feed a fleet."""
    registry = kopf.OperatorRegistry()

    def concerns(name: str, **_: Any) -> bool:
        return fleet.concerns(name)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, when=concerns)
    async def on_event(event: Any, name: str, **_: Any) -> None:
        if event["type"] == "DELETED":
            await fleet.forget(name)
        else:
            await fleet.see(dict(event["object"]))

    @kopf.on.delete(GROUP, VERSION, PLURAL, registry=registry, when=concerns)
    async def on_delete(name: str, **_: Any) -> None:
        await fleet.drain(name)

    return registry


def settings() -> kopf.OperatorSettings:
    """All that kopf keeps on a VirtualContainerHost carries our name."""
    made = embedded.settings()
    made.persistence.finalizer = FINALIZER
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    return made
