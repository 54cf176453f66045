"""A clone's CNI configuration: the Pod's end of the veth moves into the Pod's namespace and gets its address. Pure.

By the plugins `host-device` and `static` of containernetworking-plugins, and `tuning` where the Pod's namespace is to
have settings of its parent's setup, or an address of IPv6. A parent has loopback alone (`containerd/10-vch.conflist`);
containerd watches the folder and takes the new file in.
"""

import json
from collections.abc import Mapping
from typing import Any

from .pod_network import PodNetwork

FILE = "cni/net.d/10-vch.conflist"
"""Below /etc."""
_VERSION = "0.4.0"
DEVICE = "vchpod"
ROUTER6 = "fe80::1"
"""The gateway namespace's address towards the Pod: IPv6 has no proxy for a whole network."""


_AT_ONCE: dict[str, Any] = {
    "type": "tuning",
    "sysctl": {"net.ipv6.conf.default.accept_dad": "0"},
    "prevResult": {"cniVersion": _VERSION, "interfaces": [], "ips": [], "dns": {}},
}
"""What comes before an address of IPv6, so that it is good at once: `host-device` would wait for a second or two until
the kernel has found that nobody else on the link has it, and nobody but the gateway is there. It holds for interfaces
that come into the namespace afterwards. `tuning` wants to be told of a plugin before it, and there is none.
"""


def conflist(network: PodNetwork, sysctls: Mapping[str, str] | None = None) -> str:
    """The file's content. `sysctls`: of the Pod's network namespace, names with dots; the Pod's own come after them."""
    addresses: list[dict[str, str]] = []
    routes: list[dict[str, str]] = []
    for address in network.addresses:
        gateway = network.gateway(address.version)
        if address.version == 6:
            # Alone on its link: its neighbours would not be answered for.
            addresses.append({"address": f"{address.ip}/128", "gateway": ROUTER6})
            routes.append({"dst": "::/0"})
        elif gateway is not None:
            addresses.append({"address": str(address), "gateway": str(gateway)})
            routes.append({"dst": "0.0.0.0/0"})
        else:
            addresses.append({"address": str(address)})
            routes.append({"dst": "169.254.1.0/30"})  # the kubelet's probes are answered all the same
    plugin: dict[str, Any] = {
        "type": "host-device",
        "device": DEVICE,
        "ipam": {"type": "static", "addresses": addresses, "routes": routes},
    }
    before = [_AT_ONCE] if network.address(6) is not None else []
    plugins = [*before, plugin, *([{"type": "tuning", "sysctl": dict(sysctls)}] if sysctls else [])]
    return json.dumps({"cniVersion": _VERSION, "name": "vch", "plugins": plugins}, indent=1) + "\n"
