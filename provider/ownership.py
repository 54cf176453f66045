"""Owner references: what carries one goes with its VirtualContainerHost. Pure."""

from typing import Any

KubeObject = dict[str, Any]


def reference(vch: KubeObject) -> KubeObject:
    """To a VirtualContainerHost, for an object's `metadata.ownerReferences`."""
    metadata = vch["metadata"]
    return {"apiVersion": vch["apiVersion"], "kind": vch["kind"], "name": metadata["name"], "uid": metadata["uid"]}
