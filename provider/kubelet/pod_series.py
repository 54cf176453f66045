"""Samples of a guest's own Pod that must not be handed on as they are. Pure.

metrics-server drops a whole Pod if one of its containers has no CPU time or no memory; a container that has not run,
or not for long enough, is left out instead. A claim's statistics carry no name of a Pod: they are the guest's if its
Pod has that claim.
"""

from collections.abc import Collection

from provider.feed import KubeObject
from provider.kubelet.exposition import Said, labels_of, value_of

_NEEDED = ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes")
_OF_CONTAINERS = (*_NEEDED, "container_start_time_seconds", "container_swap_usage_bytes")


def without_incomplete(said: Said) -> Said:
    """What /metrics/resource says of containers that have both CPU time and memory."""
    whole = _with(said, _NEEDED[0]) & _with(said, _NEEDED[1])
    for family in _OF_CONTAINERS:
        if family in said.samples:
            kept = [line for line in said.samples[family] if labels_of(line).get("container", "") in whole]
            said.samples[family] = kept
            if not kept:
                said.drop_family(family)
    return said


def claims(pod: KubeObject) -> Collection[str]:
    """The names of the PersistentVolumeClaims that a Pod mounts, the generic ephemeral ones among them."""
    name, volumes = pod["metadata"]["name"], (pod.get("spec") or {}).get("volumes") or ()
    found = {each["persistentVolumeClaim"]["claimName"] for each in volumes if each.get("persistentVolumeClaim")}
    return found | {f"{name}-{each['name']}" for each in volumes if each.get("ephemeral")}


def _with(said: Said, family: str) -> set[str]:
    """Containers that have some of it."""
    return {labels_of(line).get("container", "") for line in said.samples.get(family, ()) if value_of(line) > 0}
