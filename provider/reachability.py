"""Whether Pods reach what they need of the cluster from their network: the condition ClusterNetworkReachable. Pure.

From what the agents of pod VMs have tried with their Pods' addresses (`guest/vch_agent/reachability.py`): only there is
the Pods' network to be seen. A guest's word decides nothing but this condition, which is no part of `Ready`: a tenant
who is root in his guest can make it False, and cannot make it True while another's says otherwise.
"""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from provider.feed import KubeObject
from provider.relay import RelayRefused

VERB = "reportReachability"

_WHATS = {"APIServer": "the API server", "ClusterDNS": "the cluster's DNS"}
_WHYS = {
    "Timeout": "does not answer",
    "Refused": "refuses the connection",
    "Unreachable": "cannot be reached, says the network",
    "Denied": "is on the management network, where no Pod gets",
}
_MOST = 32  # failures that are taken of one guest
_NAMED = 5  # in a message
_REMEDY = (
    "Route the endpoints of the Service default/kubernetes and those of the cluster's DNS "
    "(spec.network.clusterDNS.servers) for the Pods' port group; they must not be on the management network"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One address that a Pod's VM has not reached."""

    what: str  # one of _WHATS
    address: str
    port: int
    why: str  # one of _WHYS, or another word


@dataclass(frozen=True, slots=True)
class Finding:
    """What the condition says. `reachable` None: Unknown."""

    reachable: bool | None
    reason: str
    message: str


_NO_POD = Finding(None, "NoPodYet", "no Pod runs, and only from a Pod's VM can its network be tried")
NOT_TRIED = Finding(None, "NotTried", "only IPv4 is tried, and the Pods of this node have IPv6 alone")
_REACHABLE = Finding(True, "Reachable", "the API server and the cluster's DNS answer on the Pods' network")


def parse(body: KubeObject) -> tuple[Failure, ...]:
    """A report's failures; none: all answered. Raises RelayRefused: nothing of a guest is passed on as it is."""
    failures = body.get("failures")
    if not isinstance(failures, list):
        raise RelayRefused("failures: a list is required")
    return tuple(_failure(each) for each in failures[:_MOST])


class Reports:
    """The latest of each pod VM; lost with the process, since guests tell it again at each connection."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[str, tuple[Failure, ...]]] = {}

    def heard(self, uid: str, pod: str, failures: tuple[Failure, ...]) -> bool:
        """Whether that is news. `pod`: namespace/name."""
        news = self._latest.get(uid) != (pod, failures)
        self._latest[uid] = pod, failures
        return news

    def finding(self, running: Collection[str]) -> Finding | None:
        """What is known by the VMs of these Pods (UIDs). None: they have not said anything yet."""
        self._latest = {uid: each for uid, each in self._latest.items() if uid in running}
        return finding(dict(self._latest.values()), running=len(running))


def finding(reports: Mapping[str, tuple[Failure, ...]], *, running: int) -> Finding | None:
    """By the Pods' names. `running`: how many Pods have VMs, whether these have reported or not."""
    if not running:
        return _NO_POD
    failed = sorted((failure.what, failure.address, failure.port, pod, failure.why)
                    for pod, failures in reports.items() for failure in failures)  # fmt: skip
    if not failed:
        return _REACHABLE if reports else None
    first: dict[tuple[str, str, int], tuple[str, str]] = {}
    for what, address, port, pod, why in failed:
        first.setdefault((what, address, port), (pod, why))
    told = [
        f"{_WHATS[what]} at {address}:{port} {_WHYS.get(why, why)} (tried from the VM of Pod {pod})"
        for (what, address, port), (pod, why) in list(first.items())[:_NAMED]
    ]
    if len(first) > _NAMED:
        told.append(f"and {len(first) - _NAMED} more")
    pods = len({pod for _, _, _, pod, _ in failed})
    return Finding(
        False, "EndpointsUnreachable", f"{'; '.join(told)}. {pods} of {len(reports)} Pods' VMs say so. {_REMEDY}"
    )


def _failure(value: object) -> Failure:
    if not isinstance(value, dict):
        raise RelayRefused("failures: objects are required")
    what, address, port, why = (value.get(name) for name in ("what", "address", "port", "why"))
    try:
        address = str(ipaddress.ip_address(str(address)))
    except ValueError:
        raise RelayRefused("failures: an IP address is required") from None
    if what not in _WHATS or isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise RelayRefused("failures: what and port are required")
    return Failure(str(what), address, port, why if why in _WHYS else "does not answer")
