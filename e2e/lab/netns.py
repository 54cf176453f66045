"""The network namespace of a laboratory: loopback, a bridge for the management of guests and for virtual nodes, one
for Pods, another for those of a namespace with a network of its own, and no way out.

The Pods' bridges are the gateways of their networks: they forward from Pod to Pod (ports on the first are isolated, so
there is no other way), from one to the other, and nothing between them and the first network. Which port is isolated is
the simulator's to decide.

Programs enter it with `nsenter --net`, not with `ip netns exec`: the latter also takes a mount namespace with a fresh
/sys, which hides the cgroup file systems that runc and the kubelet need.
"""

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from e2e.lab.errors import LabError

BRIDGE = "vch0"
GATEWAY = "10.77.0.1"
POD_BRIDGE = "vch1"
POD_GATEWAY = "10.78.0.1"
POD_GATEWAY6 = "fd78::1"
POD_PREFIX_LENGTH6 = 64
TEAM_BRIDGE = "vch2"
TEAM_GATEWAY = "10.79.0.1"
HARDWARE_ADDRESSES = {
    BRIDGE: "02:76:63:68:00:00",
    POD_BRIDGE: "02:76:63:68:00:01",
    TEAM_BRIDGE: "02:76:63:68:00:02",
}
PREFIX_LENGTH = 24
SIMULATED = "10.80.0.0/16"
"""Of simulated guests: every address of it is the namespace's own, and their one listener's."""
REGISTRY = f"{GATEWAY}:5000"
"""Where guests pull from, as a mirror."""
GUESTS = "10.77.0.16-10.77.0.250"

_APART = f"""
table inet lab
delete table inet lab
table inet lab {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname {{ "{POD_BRIDGE}", "{TEAM_BRIDGE}" }} oifname "{BRIDGE}" drop
    iifname "{BRIDGE}" oifname {{ "{POD_BRIDGE}", "{TEAM_BRIDGE}" }} drop
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    icmpv6 type nd-redirect drop
  }}
}}
"""
"""Not a policy of drop: where the machine filters bridges too (br_netfilter), that would part guests on one bridge.
IPv6 has no setting against redirects, see `_forward`."""

_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
T = TypeVar("T")


def path(name: str) -> Path:
    return _FOLDER / name


def exists(name: str) -> bool:
    return path(name).exists()


def create(name: str, node_addresses: Sequence[str], reserved_ports: Sequence[int] = ()) -> None:
    """The namespace with its bridges; what is there already is kept."""
    if not exists(name):
        _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")
    _bridge(name, BRIDGE, (GATEWAY, *node_addresses))
    _bridge(name, POD_BRIDGE, (POD_GATEWAY,))
    _bridge(name, TEAM_BRIDGE, (TEAM_GATEWAY,))
    _ip("-n", name, "route", "replace", "local", SIMULATED, "dev", "lo")
    inside(name, _forward)
    inside(name, lambda: _ipv6(name))
    if reserved_ports:
        # An outgoing connection must not take the port that the API server is about to listen on.
        ports = ",".join(str(port) for port in reserved_ports)
        inside(name, lambda: Path("/proc/sys/net/ipv4/ip_local_reserved_ports").write_text(ports))


def route(name: str, network: str) -> None:
    """Packets from inside for that network leave by the bridge, from the gateway's address, if nothing changes their
    destination before."""
    _ip("-n", name, "route", "replace", network, "dev", BRIDGE, "src", GATEWAY)


def delete(name: str) -> None:
    """Ends the namespace. The kernel takes its devices with it once the last process has left."""
    if exists(name):
        _ip("netns", "delete", name)


def processes(name: str) -> list[int]:
    """The processes that are in the namespace (not those in namespaces that were made from it)."""
    if not exists(name):
        return []
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def command(name: str, argv: Sequence[str]) -> list[str]:
    """`argv`, to be run in the namespace; the process ID is that of the program itself, since nsenter becomes it."""
    return ["nsenter", f"--net={path(name)}", "--", *argv]


def enter(name: str) -> None:
    """Moves the calling thread, and those that it starts from now on, into the namespace."""
    descriptor = os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_descriptor(descriptor)
    finally:
        os.close(descriptor)


def enter_descriptor(descriptor: int) -> None:
    """The same for a namespace that is held open."""
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise LabError(f"cannot enter the network namespace: {os.strerror(ctypes.get_errno())}")


@contextlib.contextmanager
def entered(name: str) -> Iterator[None]:
    """The calling thread is in the namespace until the block ends."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(name)
        yield
    finally:
        enter_descriptor(home)
        os.close(home)


def inside(name: str, work: Callable[[], T]) -> T:
    """`work()`, called in the namespace; sockets that it makes stay there."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            enter(name)
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _bridge(name: str, bridge: str, addresses: Sequence[str]) -> None:
    if not _has_link(name, bridge):
        # Of its own: else it is that of some port, and another one when that guest is gone.
        _ip("-n", name, "link", "add", bridge, "address", HARDWARE_ADDRESSES[bridge], "type", "bridge")
    for address in addresses:
        _ip("-n", name, "address", "replace", f"{address}/{PREFIX_LENGTH}", "dev", bridge)
    _ip("-n", name, "link", "set", bridge, "up")


def _forward() -> None:
    """Called in the namespace."""
    _run(["nft", "-f", "-"], _APART)
    sysctls = Path("/proc/sys/net/ipv4")
    # A Pod's packet for another Pod leaves by the bridge that it came from: no reason to tell it of a shorter way.
    for place in ("all", "default", POD_BRIDGE, TEAM_BRIDGE):
        (sysctls / "conf" / place / "send_redirects").write_text("0")
    (sysctls / "ip_forward").write_text("1")


def _ipv6(name: str) -> None:
    """Called in the namespace: the Pods' bridge is the gateway of IPv6 too. Not on a kernel without IPv6."""
    settings = Path("/proc/sys/net/ipv6/conf")
    if not settings.exists():
        return
    # A switch's port says nothing of its own; these would look for IPv6 routers.
    (settings / "default/disable_ipv6").write_text("1")
    (settings / "all/forwarding").write_text("1")
    # Its addresses are good at once, also each time that the first guest is plugged in: nobody else may have them.
    (settings / POD_BRIDGE / "accept_dad").write_text("0")
    (settings / POD_BRIDGE / "disable_ipv6").write_text("0")
    _ip("-6", "-n", name, "address", "replace", f"{POD_GATEWAY6}/{POD_PREFIX_LENGTH6}", "dev", POD_BRIDGE)


def _has_link(name: str, link: str) -> bool:
    shown = subprocess.run(["ip", "-n", name, "link", "show", link], capture_output=True, check=False)
    return shown.returncode == 0


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(argv: Sequence[str], given: str | None = None) -> None:
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}; the laboratory needs root (CAP_NET_ADMIN)")
