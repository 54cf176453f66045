"""What may pass the gateway namespace: the text of nftables' table `inet vch`. Pure.

`table` is made before the freeze and lets nothing through, since the Pod has no address yet; `members` is what a clone
adds. The chains `policy_egress` and `policy_ingress` are left as they are: NetworkPolicy fills them. What a Service's
address becomes is decided before, in tables that are not ours.
"""

from collections.abc import Iterable

from .dhcp import CLIENT_PORT, SERVER_PORT
from .pod_network import PodNetwork

TABLE = "vch"
MODULES = (
    "nf_conntrack_netlink",
    "nft_chain_nat",
    "nft_connlimit",
    "nft_ct",
    "nft_fib_inet",
    "nft_hash",
    "nft_limit",
    "nft_log",
    "nft_masq",
    "nft_nat",
    "nft_numgen",
    "nft_objref",
    "nft_reject_inet",
    "veth",
)
"""Of the kernel: what this table and kube-proxy's need, loaded before the freeze so that no clone does it again."""

HOST, INSIDE = "169.254.1.1", "169.254.1.2"
"""The ends of the veth between the root namespace (agent, kubelet) and the gateway namespace."""
HOST6, INSIDE6 = "fd76:6368::1", "fd76:6368::2"
"""The same where the Pod has an IPv6 address."""

MARK = 0x766368
"""Of connections of this namespace's own with the Pod's address: their answers are not for the Pod. Kept by conntrack,
since kube-proxy sets bits of the packets' marks."""

_STATIC = f"""\
table inet {TABLE} {{
  set own4 {{ type ipv4_addr; }}
  set own6 {{ type ipv6_addr; }}
  set denied4 {{ type ipv4_addr; flags interval; }}
  set denied6 {{ type ipv6_addr; flags interval; }}
  set dhcp {{ type inet_service; }}
  chain policy_egress {{ }}
  chain policy_ingress {{ }}
  chain egress {{ }}
  chain ingress {{ }}
  chain spoofed {{ type filter hook prerouting priority raw; policy accept; }}
  chain input {{ type filter hook input priority filter; policy drop; }}
  chain forward {{ type filter hook forward priority filter; policy drop; }}
  chain marked {{ type filter hook output priority mangle; policy accept; }}
  chain answered {{ type filter hook prerouting priority mangle; policy accept; }}
  chain output {{ type filter hook output priority filter; policy accept; }}
}}
flush chain inet {TABLE} egress
flush chain inet {TABLE} ingress
flush chain inet {TABLE} spoofed
flush chain inet {TABLE} input
flush chain inet {TABLE} forward
flush chain inet {TABLE} marked
flush chain inet {TABLE} answered
flush chain inet {TABLE} output
table inet {TABLE} {{
  chain egress {{
    ip daddr @denied4 drop
    ip6 daddr @denied6 drop
    jump policy_egress
    accept
  }}
  chain ingress {{
    jump policy_ingress
    accept
  }}
  chain spoofed {{
    udp dport @dhcp drop
    iifname "pod" ip saddr != @own4 drop
    iifname "pod" ip6 saddr {{ ::, fe80::/10 }} icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} accept
    iifname "pod" ip6 saddr != @own6 drop
    iifname "uplink" ip saddr {{ {HOST}, {INSIDE} }} drop
    iifname "uplink" ip saddr @own4 drop
    iifname "uplink" ip6 saddr {{ {HOST6}, {INSIDE6} }} drop
    iifname "uplink" ip6 saddr @own6 drop
  }}
  chain input {{
    iifname "lo" accept
    ct state established,related accept
    icmpv6 type {{ nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }} accept
  }}
  chain forward {{
    ct state established,related accept
    iifname "host" oifname "pod" ip saddr {HOST} accept
    iifname "host" oifname "pod" ip6 saddr {HOST6} accept
    iifname "pod" oifname "pod" accept
    iifname "pod" oifname "uplink" jump egress
    iifname "uplink" oifname "pod" jump ingress
  }}
  chain marked {{
    meta mark {MARK:#x} ct mark set {MARK:#x}
  }}
  chain answered {{
    ct mark {MARK:#x} meta mark set {MARK:#x}
  }}
  chain output {{
    ct mark {MARK:#x} ip daddr @denied4 drop
  }}
}}
"""  # noqa: E501 - a rule is a line


def table() -> str:
    """The table without members; may be loaded again at any time, without a moment in which less holds."""
    return _STATIC


def members(network: PodNetwork) -> str:
    """The Pod's addresses and what it must not reach, in the place of what was told before.

    Where its address is a DHCP server's, it neither speaks to such servers nor hears them: the lease is the agent's,
    whose own frames do not come by here.
    """
    own = {version: [address.ip for address in network.addresses if address.version == version] for version in (4, 6)}
    denied = {version: [each for each in network.denied if each.first.version == version] for version in (4, 6)}
    addresses = "".join(
        _set(f"{name}{version}", values[version])
        for name, values in (("own", own), ("denied", denied))
        for version in (4, 6)
    )
    return addresses + _set("dhcp", (SERVER_PORT, CLIENT_PORT) if network.dhcp else ())


def _set(name: str, values: Iterable[object]) -> str:
    listed = ", ".join(map(str, values))
    added = f"add element inet {TABLE} {name} {{ {listed} }}\n" if listed else ""
    return f"flush set inet {TABLE} {name}\n{added}"
