"""The cluster's Services for guests: of each object what kube-proxy reads, and the kubelet for environments. Pure.

To a guest whose kube-proxy routes Services all travel that have an address, since all are reachable from every Pod; to
another one those that its kubelet tells containers of (`Scope`). What would open something in a guest is left out (node
ports, health check ports), and so is what kube-proxy takes for granted: an absent field is its default. The selectors
are kube-proxy's own (`cmd/kube-proxy/app/server.go` of 1.37): what it would not ask for is not watched. Except Services
of another proxy: the kubelet makes no difference, so that they come with the label by which kube-proxy leaves them out.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from provider.kubelet_service import KUBELET_LABEL

KubeObject = dict[str, Any]

_NAME = "kubernetes.io/service-name"
_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
_ZONE_HINTS, _NODE_HINTS = "forZones", "forNodes"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of which guests are told."""

    api_version: str
    name: str
    plural: str
    query: Mapping[str, str]
    strip: Callable[[KubeObject], KubeObject | None]
    """The object as guests get it; None: they do not."""


@dataclass(frozen=True, slots=True)
class Key:
    """One object."""

    kind: str
    namespace: str
    name: str


def _service(thing: KubeObject) -> KubeObject | None:
    spec = thing.get("spec") or {}
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return None
    kept: KubeObject = {"clusterIP": spec["clusterIP"]}
    if len(spec.get("clusterIPs") or ()) > 1:
        # By them kube-proxy finds the address of each family; with one address the address tells.
        kept["clusterIPs"], kept["ipFamilies"] = spec["clusterIPs"], spec.get("ipFamilies") or []
    kept["ports"] = [_port(port) for port in spec.get("ports") or ()]
    for name in ("externalIPs", "loadBalancerSourceRanges"):
        if spec.get(name):
            kept[name] = spec[name]
    if spec.get("sessionAffinity") == "ClientIP":
        kept["sessionAffinity"] = "ClientIP"
        kept["sessionAffinityConfig"] = spec.get("sessionAffinityConfig") or {"clientIP": {"timeoutSeconds": 10800}}
    if spec.get("internalTrafficPolicy") == "Local":
        kept["internalTrafficPolicy"] = "Local"
    # Neither type nor externalTrafficPolicy: nothing comes from outside, and from inside `Local` is not obeyed.
    stripped = _of(SERVICES, thing, _some(thing["metadata"].get("labels") or {}, _OTHER_PROXY), spec=kept)
    ingress = [_some(each, "ip", "ipMode") for each in _ingress(thing) if each.get("ip")]
    if ingress:
        stripped["status"] = {"loadBalancer": {"ingress": ingress}}
    return stripped


def _ingress(thing: KubeObject) -> Iterable[KubeObject]:
    return ((thing.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()


def _endpoint_slice(thing: KubeObject) -> KubeObject | None:
    service = (thing["metadata"].get("labels") or {}).get(_NAME)
    if not service or thing.get("addressType") not in ("IPv4", "IPv6"):
        return None
    return _of(
        ENDPOINT_SLICES,
        thing,
        labels={_NAME: service},
        addressType=thing["addressType"],
        endpoints=[stripped for each in thing.get("endpoints") or () if (stripped := _endpoint(each))],
        ports=[_port(port) for port in thing.get("ports") or ()],
    )


def _endpoint(each: KubeObject) -> KubeObject | None:
    """None for one that gets no connections: it would travel each time that it becomes ready, and each time not."""
    said = each.get("conditions") or {}
    ready, serving = said.get("ready") is not False, said.get("serving") is not False
    terminating = said.get("terminating") is True
    if not each.get("addresses") or not (ready or (serving and terminating)):
        return None
    stripped: KubeObject = {"addresses": each["addresses"][:1]}  # kube-proxy uses the first
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    usual = {"ready": True, "serving": True, "terminating": False}
    if different := {name: value for name, value in conditions.items() if value != usual[name]}:
        stripped["conditions"] = different
    if each.get("nodeName"):
        # Local traffic policies go by it, and so does masquerading for a Pod that is an endpoint of its own Service.
        stripped["nodeName"] = each["nodeName"]
    if hints := _some(each.get("hints") or {}, _ZONE_HINTS, _NODE_HINTS):
        stripped["hints"] = hints
    return stripped


def _service_cidr(thing: KubeObject) -> KubeObject | None:
    """kube-proxy drops what is for an address of theirs that no Service has, where it would leave the VM."""
    return _of(SERVICE_CIDRS, thing, spec=_some(thing.get("spec") or {}, "cidrs"))


def _port(port: KubeObject) -> KubeObject:
    """The name even where it is empty: kube-proxy takes no port of a slice without."""
    return {"name": port.get("name") or "", **_some(port, "port", "protocol")}


def _some(value: KubeObject, *names: str) -> KubeObject:
    return {name: value[name] for name in names if value.get(name) is not None}


def _of(kind: Kind, thing: KubeObject, labels: Mapping[str, str] | None = None, **rest: Any) -> KubeObject:
    """No UID and no version: the guest counts itself, so that what changes elsewhere in an object changes nothing."""
    metadata: KubeObject = _some(thing["metadata"], "namespace", "name")
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **rest}


# Of a virtual node's kubelet API guests are not told: they are not to reach it.
_NOT_HEADLESS, _NO_KUBELET = "!service.kubernetes.io/headless", f"!{KUBELET_LABEL}"
SERVICES = Kind(
    "v1", "Service", "services", {"labelSelector": _NO_KUBELET, "fieldSelector": "spec.clusterIP!=None"}, _service
)
ENDPOINT_SLICES = Kind(
    "discovery.k8s.io/v1",
    "EndpointSlice",
    "endpointslices",
    {"labelSelector": f"{_NOT_HEADLESS},{_NO_KUBELET}"},
    _endpoint_slice,
)
SERVICE_CIDRS = Kind("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", {}, _service_cidr)
KINDS = (SERVICE_CIDRS, SERVICES, ENDPOINT_SLICES)


@dataclass(frozen=True, slots=True)
class Scope:
    """Of what one guest is told."""

    kinds: frozenset[str]
    namespace: str | None = None
    """Of this one only, and of the Service `kubernetes`; None: of all."""

    def __contains__(self, key: Key) -> bool:
        near = self.namespace is None or key.namespace == self.namespace or (key.namespace, key.name) == _ALWAYS
        return near and key.kind in self.kinds


_ALWAYS = ("default", "kubernetes")
"""Every container is told of it, whatever `enableServiceLinks` says."""
ROUTED = Scope(frozenset(kind.name for kind in KINDS))
"""For a guest whose kube-proxy routes Services."""


def linked(namespace: str) -> Scope:
    """For a guest that only tells its containers of Services (the kubelet's `getServiceEnvVarMap`)."""
    return Scope(frozenset((SERVICES.name,)), namespace)


def key(kind: Kind, thing: KubeObject) -> Key:
    """Of an object of that kind."""
    metadata = thing["metadata"]
    return Key(kind.name, metadata.get("namespace", ""), metadata["name"])


def reference(key: Key) -> KubeObject:
    """What a guest is told of an object that is gone."""
    api_version = next(kind.api_version for kind in KINDS if kind.name == key.kind)
    metadata = {"namespace": key.namespace, "name": key.name} if key.namespace else {"name": key.name}
    return {"apiVersion": api_version, "kind": key.kind, "metadata": metadata}


def encoded(value: KubeObject) -> bytes:
    """Once for all guests; the same bytes for the same object, so that comparing them tells whether it changed."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
