"""The interfaces of the gateway namespace, and their addresses, routes and neighbours (see `gateway` for the picture).

Each step leaves alone what is there already. Why it is as it is:

- The Pod's IPv4 address is the uplink's too, so that ARP requests for what is forwarded carry it. What goes *to* it is
  looked for in a table of its own before that, and goes to the Pod; a proxy neighbour answers for it on the uplink.
- With isolation `Pod` only the gateway is on link: no neighbour is ever asked for.
- The Pod's end has the card's MAC, known for good: asking the Pod could only go wrong.
- The veth to the root namespace comes first: its address is then the one the kernel takes where it needs one of ours.
"""

import errno
import ipaddress
from pathlib import Path

from . import cni, routing
from .firewall import HOST as HOST_ADDRESS
from .firewall import HOST6, INSIDE, INSIDE6, MARK
from .namespace import Namespace
from .netlink import Address, Interface, Link, Netlink
from .pod_network import Isolation, PodNetwork

UPLINK, HOST, POD = "uplink", "host", "pod"
ROOTS = "vch-host"
"""The root namespace's end of `host`."""
_TABLE, _RULE, _LOCALS_RULE = 100, 10, 100
_OWN_RULE = 5
"""Before the Pod's: what comes back for what we send with its address (`firewall.MARK`)."""

_SYSCTLS = {
    "ipv4/ip_forward": "1",  # first: it sets others
    "ipv6/conf/all/disable_ipv6": "1",  # unless the Pod has IPv6: then nothing of it is ever said
    "ipv6/conf/all/forwarding": "1",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
    **{
        f"ipv4/conf/{which}/{name}": value
        for which in ("all", "default")
        for name, value in (
            ("rp_filter", "0"),  # what the Pod may send is in the firewall
            ("send_redirects", "0"),
            ("accept_redirects", "0"),
            ("accept_source_route", "0"),
            ("proxy_arp", "0"),
            ("arp_ignore", "1"),  # the addresses of the veth are nobody's business outside
        )
    },
}


class Links:
    """What is done to them; `root` and `inside` are sockets in the two namespaces."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def settle(self) -> None:
        """The kernel's settings. Raises OSError."""
        self._set(_SYSCTLS)

    def join_host(self, root: Netlink, inside: Netlink) -> None:
        """Loopback, and the veth to the root namespace. Raises OSError."""
        if (loopback := inside.link("lo")) is not None and not loopback.up:
            inside.set_up(loopback.index, up=True)
        if inside.link(HOST) is None:
            self._veth(root, ROOTS, HOST)
        for wire, name, address in ((root, ROOTS, HOST_ADDRESS), (inside, HOST, INSIDE)):
            index = _there(wire, name).index
            wire.set_up(index, up=True)
            wire.add_address(index, _interface(address, 30))

    def take(self, root: Netlink, inside: Netlink, card: Link) -> Link:
        """The Pod's card, out of the root namespace; down. Raises OSError."""
        with self._namespace.opened() as descriptor:
            root.move(card.index, descriptor, UPLINK)
        self._set(_on_device(UPLINK))
        return _there(inside, UPLINK)

    def join_pod(self, root: Netlink, inside: Netlink, network: PodNetwork | None = None) -> None:
        """The veth of which CNI gives one end to the Pod; with the Pod's addresses, where they are known.

        Raises OSError.
        """
        uplink = _there(inside, UPLINK)
        if inside.link(POD) is None:
            self._veth(root, cni.DEVICE, POD, uplink.mtu)
        self._set({f"ipv4/conf/{POD}/proxy_arp": "1"} | _on_device(POD))
        pod = _there(inside, POD)
        inside.set_up(pod.index, up=True)
        if network is None:
            return
        waiting = root.link(cni.DEVICE)
        if waiting is not None and waiting.mac != uplink.mac:
            root.set_mac(waiting.index, uplink.mac)
        if waiting is not None and waiting.mtu != uplink.mtu:
            root.set_mtu(waiting.index, uplink.mtu)
            inside.set_mtu(pod.index, uplink.mtu)
        for address in network.addresses:
            table = routing.MAIN
            if address.version == 4:
                table = _TABLE
            else:
                inside.add_address(pod.index, _interface(cni.ROUTER6, 64))
            routing.add_route(inside, routing.alone(address.ip), pod.index, table=table)
            routing.know_neighbour(inside, address.ip, uplink.mac, pod.index)

    def address(self, root: Netlink, inside: Netlink, uplink: Link, network: PodNetwork) -> None:
        """Everything that the Pod's addresses are in. Raises OSError."""
        if network.address(6) is not None:
            self._set({"ipv6/conf/all/disable_ipv6": "0"})
        inside.set_up(uplink.index, up=True)
        self.join_pod(root, inside, network)
        for address in network.addresses:
            if address.version == 4:
                inside.add_address(uplink.index, _interface(str(address.ip), 32))
                routing.look_before_local(inside, address.ip, _TABLE, _RULE, _LOCALS_RULE)
                routing.look_in_local_first(inside, MARK, _OWN_RULE)
            routing.answer_for(inside, address.ip, uplink.index)
            self._lead_out(inside, uplink, network, address)
            self._lead_from_root(root, inside, address)

    def _lead_out(self, inside: Netlink, uplink: Link, network: PodNetwork, address: Interface) -> None:
        gateway = network.gateway(address.version)
        if network.isolation is not Isolation.POD:
            routing.add_route(inside, address.network, uplink.index)
        if gateway is None:
            return
        routing.add_route(inside, routing.alone(gateway), uplink.index)
        if network.isolation is Isolation.POD:
            routing.add_route(inside, address.network, uplink.index, gateway)
        routing.add_route(inside, routing.everything(address.version), uplink.index, gateway)

    def _lead_from_root(self, root: Netlink, inside: Netlink, address: Interface) -> None:
        """Where the kubelet's probes go."""
        outer, inner = _there(root, ROOTS), _there(inside, HOST)
        via: Address = _interface(INSIDE, 30).ip
        if address.version == 6:
            root.add_address(outer.index, _interface(HOST6, 126))
            inside.add_address(inner.index, _interface(INSIDE6, 126))
            via = _interface(INSIDE6, 126).ip
        routing.add_route(root, routing.alone(address.ip), outer.index, via)

    def _veth(self, root: Netlink, name: str, peer: str, mtu: int = 1500) -> None:
        with self._namespace.opened() as descriptor:
            root.add_veth(name, peer, descriptor, mtu)

    def _set(self, sysctls: dict[str, str]) -> None:
        """Kernel settings below /proc/sys/net; a kernel without IPv6 has not all of them. Raises OSError."""

        def write() -> None:
            for name, value in sysctls.items():
                place = Path("/proc/sys/net") / name
                if place.exists() or not name.startswith("ipv6/"):
                    place.write_text(value)

        self._namespace.call(write)


def _on_device(name: str) -> dict[str, str]:
    """Of one interface: proxies answer at once, a link-local address (made of its MAC) is good at once, and what a new
    one has from the root namespace's defaults is undone.
    """
    delays = {f"{family}/neigh/{name}/proxy_delay": "0" for family in ("ipv4", "ipv6")}
    return delays | {f"ipv6/conf/{name}/proxy_ndp": "1", f"ipv6/conf/{name}/accept_dad": "0"}


def _there(wire: Netlink, name: str) -> Link:
    link = wire.link(name)
    if link is None:
        raise OSError(errno.ENODEV, f"{name} is not there")
    return link


def _interface(address: str, prefix: int) -> Interface:
    return ipaddress.ip_interface(f"{address}/{prefix}")
