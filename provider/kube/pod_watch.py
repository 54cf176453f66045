"""The Pods of one virtual node, by kopf, narrowed on the server: what is bound elsewhere never reaches this process.

Only `on.event` is used: kopf then puts neither finalizer nor annotation on a Pod (invariant I-18). It tells a list as
events without a type; Pods that went while it did not look are for the receiver to miss.
"""

from collections.abc import Callable
from typing import Any, Protocol

import kopf
from kubernetes.aio import client

from provider.kube import embedded
from provider.kube.client import KubeObject


class PodReceiver(Protocol):
    """`pod_controller.PodController`."""

    def pod_seen(self, pod: KubeObject) -> None: ...

    def pod_deleted(self, uid: str) -> None: ...

    def pods_relisted(self) -> None: ...


async def run(
    node: str, receiver: PodReceiver, configuration: client.Configuration, on_started: Callable[[], None]
) -> None:
    """Until cancelled."""
    registry = kopf.OperatorRegistry()
    settings = embedded.settings()
    settings.watching.field_selectors["v1", "pods"] = f"spec.nodeName={node}"
    settings.scanning.disabled = True  # what Pods are does not change

    @kopf.on.event("v1", "pods", registry=registry)
    async def on_event(event: Any, **_: Any) -> None:
        tell(receiver, event)

    await embedded.run(registry, settings, configuration, on_started)


def tell(receiver: PodReceiver, event: Any) -> None:
    """One event of kopf's: its `type` is None for what a list told."""
    pod = event["object"]
    if event.get("type") == "DELETED":
        receiver.pod_deleted(pod["metadata"]["uid"])
        return
    if event.get("type") is None:
        receiver.pods_relisted()
    receiver.pod_seen(dict(pod))
