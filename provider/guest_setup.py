"""What all parents of a VCH are set up with: registries, certificates, proxy, DNS, who routes Services. Pure.

A part of the agent's `setup` (`parent_message`), the same for each image; only what is said is in it, so that a VCH
that says nothing needs nothing of its guests.
"""

from collections.abc import Mapping
from typing import Any

from provider.api.supplies import ClusterDNS, Proxy, Registries

_GUEST = "Guest"


def common(
    registries: Registries,
    ca_bundle: str | None,
    proxy: Proxy,
    dns: ClusterDNS | None = None,
    service_routing: str = "",
) -> dict[str, Any]:
    """`ca_bundle`: the PEM text that `registries.caBundleRef` points to. `dns`: the kubelet starts in the parent, and
    reads its clusterDNS and clusterDomain only then. `service_routing`: `Guest` starts kube-proxy in the parents, for
    their clones to have it warm."""
    setup: dict[str, Any] = {}
    if registries.mirrors or registries.insecure:
        setup["registries"] = {
            "mirrors": [{"registry": each.registry, "endpoints": list(each.endpoints)} for each in registries.mirrors],
            "insecure": list(registries.insecure),
        }
    if ca_bundle:
        setup["caBundle"] = ca_bundle
    told = {
        name: value
        for name, value in (
            ("httpProxy", proxy.http_proxy),
            ("httpsProxy", proxy.https_proxy),
            ("noProxy", proxy.no_proxy),
        )
        if value
    }
    if told:
        setup["proxy"] = told
    if dns is not None:
        setup["dns"] = {"servers": list(dns.servers), "domain": dns.domain}
    if service_routing:
        setup["serviceRouting"] = service_routing
    return setup


def routes_services(common: Mapping[str, Any]) -> bool:
    """Whether guests of parents that were told this are to be told of Services."""
    return common.get("serviceRouting") == _GUEST
