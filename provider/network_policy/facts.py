"""What NetworkPolicies need to know of a Pod: labels, addresses, named ports. Everything else is dropped at once. Pure.

A cluster has many Pods and they change often; most changes leave these facts as they are, and equal facts are no news.
"""

import contextlib
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provider.network_policy.address_set import Address

KubeObject = dict[str, Any]
_TERMINAL = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class NamedPort:
    """A port that a container gives a name."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One Pod. Without addresses it is nobody's peer."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    addresses: tuple[Address, ...] = ()
    ports: frozenset[NamedPort] = frozenset()


def pod_facts(pod: KubeObject) -> PodFacts:
    """From the Pod as the API server has it."""
    meta = pod["metadata"]
    return PodFacts(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        labels=dict(meta.get("labels") or {}),
        addresses=() if _shares_its_node(pod) or _has_left(pod) else tuple(_addresses(pod.get("status") or {})),
        ports=frozenset(_named_ports(pod["spec"])),
    )


def _shares_its_node(pod: KubeObject) -> bool:
    """Selectors pass over Pods of the host's network: their traffic is their node's.

    The API leaves this open and calls it the most common way ("NetworkPolicy and hostNetwork pods" in
    https://kubernetes.io/docs/concepts/services-networking/network-policies/). An ipBlock can name the node.
    """
    return bool(pod["spec"].get("hostNetwork"))


def _has_left(pod: KubeObject) -> bool:
    """Whether the address may be another Pod's by now.

    A Pod in its grace period still serves and still calls (its preStop hook, its last requests), so a deletion counts
    once its containers have ended or nobody waits for them. The kubelet reports that end before the object goes
    (Kubernetes 1.27, KEP-3329).
    """
    status = pod.get("status") or {}
    if status.get("phase") in _TERMINAL:
        return True
    meta = pod["metadata"]
    if not meta.get("deletionTimestamp"):
        return False
    containers = status.get("containerStatuses") or ()
    ended = bool(containers) and all("terminated" in (each.get("state") or {}) for each in containers)
    return ended or meta.get("deletionGracePeriodSeconds") == 0


def _addresses(status: KubeObject) -> Iterator[Address]:
    texts = [each.get("ip") for each in status.get("podIPs") or ()] or [status.get("podIP")]
    for text in texts:
        with contextlib.suppress(ValueError):
            if text:
                yield ipaddress.ip_address(text)


def _named_ports(spec: KubeObject) -> Iterator[NamedPort]:
    """Of containers and of sidecars: other init containers serve nobody."""
    sidecars = (each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always")
    for container in (*(spec.get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            if port.get("name"):
                yield NamedPort(port["name"], port.get("protocol") or "TCP", port["containerPort"])
