"""A Pod behind its gateway, and its peers on the other side, in three network namespaces that end with their servants.

The base table is that of the guest's gateway; only the policy chains are under test. Needs root, nft and iproute2.
"""

import ipaddress
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.network_policy.reference import Connection

_PROGRAMS = ("nft", "ip", "unshare", "nsenter", "sysctl")
AVAILABLE = os.geteuid() == 0 and Path("/proc/sys/net/ipv6").exists() and all(map(shutil.which, _PROGRAMS))
BASE = """
table inet vch {
    set own4 { type ipv4_addr; }
    set own6 { type ipv6_addr; }
    set denied4 { type ipv4_addr; flags interval; }
    set denied6 { type ipv6_addr; flags interval; }
    chain spoofed {
        type filter hook prerouting priority raw; policy accept;
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        iifname "pod" ip saddr != @own4 drop
        iifname "pod" ip6 saddr != @own6 drop
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "host" oifname "pod" accept
        iifname "pod" oifname "host" drop
        iifname "pod" oifname "uplink" jump egress
        iifname "uplink" oifname "pod" jump ingress
    }
    chain egress {
        ip daddr @denied4 drop
        ip6 daddr @denied6 drop
        jump policy_egress
        accept
    }
    chain ingress {
        jump policy_ingress
        accept
    }
    chain policy_egress {}
    chain policy_ingress {}
}
"""
_SERVANT = r"""
import asyncio, json, socket, sys

async def attempt(source, destination, port, within):
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    wire = socket.socket(family)
    wire.setblocking(False)
    try:
        wire.bind((source, 0))
        async with asyncio.timeout(within):
            await asyncio.get_running_loop().sock_connect(wire, (destination, port))
        return True
    except TimeoutError:
        return False
    finally:
        wire.close()

async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("{}", flush=True)
    listening = []
    while line := await reader.readline():
        order = json.loads(line)
        if "listen" in order:
            for port in order["listen"]:
                greet = lambda _, writer: writer.close()
                listening.append(await asyncio.start_server(greet, ["0.0.0.0", "::"], port, backlog=1024))
            print("{}", flush=True)
        else:
            attempts = [attempt(*each, order["within"]) for each in order["connect"]]
            print(json.dumps(await asyncio.gather(*attempts)), flush=True)

asyncio.run(main())
"""
_SOON, _LATE = 1.0, 10.0
"""Seconds after which a connection is taken for dropped, and for really dropped if it should not be."""


class _Servant:
    """A process alone in a network namespace."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self._answer()

    def ask(self, order: dict) -> list[bool]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answered: list[bool] = self._answer()
        return answered

    def run(self, *commands: str, stdin: str = "") -> str:
        """Commands in its namespace."""
        for command in commands:
            done = subprocess.run(
                ["nsenter", "--target", str(self.pid), "--net", *command.split()],
                input=stdin, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}: {done.stderr}\n{stdin}"
        return done.stdout

    def _answer(self) -> list[bool]:
        assert self._process.stdout
        answered: list[bool] = json.loads(self._process.stdout.readline())
        return answered


@dataclass(frozen=True)
class Gateway:
    """What stands between a Pod and its peers."""

    addresses: Sequence[str]
    """The Pod's."""
    pod: _Servant
    gateway: _Servant
    peers: _Servant

    def load(self, rules: str) -> str:
        """In one transaction; what the policy chains are then."""
        self.gateway.run("nft -f -", stdin=rules)
        return self.gateway.run("nft list chain inet vch policy_ingress") + self.gateway.run(
            "nft list chain inet vch policy_egress"
        )

    def connected(self, wanted: Iterable[tuple[Connection, bool]]) -> dict[Connection, bool]:
        """Which TCP connections come about. Those that should and do not at once are tried again with patience."""
        expected = dict(wanted)
        found = self._connect(list(expected), _SOON)
        again = [each for each, verdict in found.items() if expected[each] and not verdict]
        return found | self._connect(again, _LATE)

    def _connect(self, connections: Sequence[Connection], within: float) -> dict[Connection, bool]:
        found: dict[Connection, bool] = {}
        for servant, ingress in ((self.peers, True), (self.pod, False)):
            asked = [each for each in connections if each.ingress == ingress]
            ends = [(each.peer, self._own(each.peer)) for each in asked]
            attempts = [(*(end if ingress else end[::-1]), each.port) for end, each in zip(ends, asked, strict=True)]
            if attempts:
                found |= dict(zip(asked, servant.ask({"connect": attempts, "within": within}), strict=True))
        return found

    def _own(self, peer: str) -> str:
        return next(each for each in self.addresses if (":" in each) == (":" in peer))


@contextmanager
def gateway(addresses: Sequence[str], peers: Iterable[str], ports: Iterable[int]) -> Iterator[Gateway]:
    """With the base table alone. Everybody listens on all the ports."""
    with ExitStack() as stack:
        pod, between, others = (stack.enter_context(_servant()) for _ in range(3))
        between.run("ip link set lo up", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        for name, end, net in (("uplink", others, 7), ("pod", pod, 8)):
            between.run(f"ip link add {name} type veth peer name eth0 netns {end.pid}")
            _up(between, name, net, 1)
            _up(end, "eth0", net, 2)
        for address in addresses:
            _own(pod, address)
            between.run(f"ip route add {address} via {_hop(address, 8, 2)}")
            pod.run(f"ip route add default via {_hop(address, 8, 1)} src {address}")
            others.run(f"ip route add {address} via {_hop(address, 7, 1)}")
            between.run(f"ip route add default via {_hop(address, 7, 2)}")
        for address in peers:
            _own(others, address)
        between.run("nft -f -", stdin=BASE)
        for address in addresses:
            between.run(f"nft add element inet vch own{ipaddress.ip_address(address).version} {{ {address} }}")
        for end in (pod, others):
            end.ask({"listen": list(ports)})
        yield Gateway(addresses, pod, between, others)


@contextmanager
def _servant() -> Iterator[_Servant]:
    command = ["unshare", "--net", sys.executable, "-c", _SERVANT]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:  # its input ends first, and so does it
        yield _Servant(process)


def _up(servant: _Servant, name: str, net: int, end: int) -> None:
    servant.run(
        f"ip link set {name} up",
        f"ip address add 169.254.{net}.{end}/30 dev {name}",
        f"ip address add {_hop('::', net, end)}/64 dev {name} nodad",
    )


def _own(servant: _Servant, address: str) -> None:
    servant.run(f"ip address add {address} dev eth0 {'nodad' if ':' in address else ''}")


def _hop(address: str, net: int, end: int) -> str:
    return f"fd01:{net}::{end}" if ":" in address else f"169.254.{net}.{end}"
