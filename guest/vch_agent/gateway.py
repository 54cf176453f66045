"""The gateway namespace of a pod VM: everything of the workload passes it, and nothing of the workload is in it.

    root namespace                 here                                              the Pod's (containerd's)
    vch-host 169.254.1.1/30 ────── host 169.254.1.2/30     uplink (the Pod's card)
    vchpod, until CNI takes it ─── pod (answers ARP for all)                         eth0 (was vchpod)

`build` makes what needs no address: in a parent, whose clones have it in memory; in a machine that boots. `configure`
gives a clone its Pod's addresses. `keep` mends the veth that may die with a Pod's namespace, and tells the neighbours
when the card is connected. What may pass is `firewall`'s text, the interfaces are `gateway_links`'.
"""

import errno
import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import announcement, cni, dhcp, files, firewall, nic
from .dhcp_client import DHCPClient
from .gateway_links import POD, UPLINK, Links
from .namespace import Namespace
from .netlink import Link, Netlink, link_events
from .nic import Cards, NoInterface
from .pod_network import PodNetwork
from .settings import Settings

log = logging.getLogger(__name__)


class OneCard(NoInterface):
    """The guest has no second network card."""


class Gateway:
    """The namespace `vch-gateway`; nothing is done until it is asked for."""

    def __init__(self, settings: Settings) -> None:
        self._namespace = Namespace(settings.root / "run/netns/vch-gateway")
        self._conflist = settings.etc / cni.FILE
        self._cards = Cards(settings.nic, settings.pod_nic)
        self._links = Links(self._namespace)
        self._wire: Netlink | None = None
        self.network: PodNetwork | None = None
        """What it was configured with last."""
        self._sysctls: Mapping[str, str] = {}

    async def build(self, sysctls: Mapping[str, str]) -> None:
        """All but the addresses. Idempotent; what passes already goes on passing.

        `sysctls`: of the setup. Those of a network namespace will be set in the Pod's too, which is a new one.
        Raises OneCard, OSError, ProgramFailed.
        """
        self._sysctls = sysctls
        if self._namespace.make():
            log.info("%s is made", self._namespace.path)
        self._links.settle()
        inside = self._inside()
        with Netlink() as root:
            self._links.join_host(root, inside)
            await self._adopt(root, inside)
            self._links.join_pod(root, inside)
        await self.nft(firewall.table())

    async def configure(self, network: PodNetwork, mac: str | None) -> None:
        """The Pod's addresses, once built; `mac` None: the card has the right one. Idempotent.

        Without addresses (they are a DHCP server's, see `lease`) all but them. The card need not be connected for
        this. Raises OneCard, OSError, ProgramFailed.
        """
        inside = self._inside()
        with Netlink() as root:
            uplink = nic.with_mac(inside, await self._adopt(root, inside), mac)
            self._links.address(root, inside, uplink, network)
        await self.nft(firewall.members(network))
        self.network = network
        if not network.addresses:
            return
        self._conflist.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        files.write(self._conflist, cni.conflist(network, self._pods_sysctls()), 0o644)
        self._announce(uplink)
        log.info("the Pod has %s", ", ".join(map(str, network.addresses)))

    async def keep(self) -> None:
        """Mend and announce, until cancelled. A failure is logged and tried again."""
        await nic.persistently("the Pod's network", self._watch)

    async def dhcp_client(self, identifier: bytes, hostname: str) -> DHCPClient:
        """On the Pod's card, as soon as that is connected. Raises OSError."""
        inside = self._inside()
        with self._namespace.call(link_events) as events:
            async for links in nic.changes(inside, events):
                for link in links:
                    if link.name == UPLINK and link.carrier:
                        return DHCPClient(self._namespace, link, dhcp.Client(link.mac, identifier, hostname))
        raise AssertionError("interfaces change for ever")

    async def cut(self) -> None:
        """Nothing leaves or enters by the Pod's card any more, and nobody is answered. Raises OSError."""
        inside = self._inside()
        if (uplink := inside.link(UPLINK)) is not None:
            inside.set_up(uplink.index, up=False)

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening TCP socket inside, non-blocking, for programs inside; port 0 is any. Raises OSError.

        Neither the Pod nor the network reaches it (`firewall`).
        """

        def listening() -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            made = socket.create_server((address, port), family=family, backlog=128)
            made.setblocking(False)
            return made

        return self._namespace.call(listening)

    def sender(self, kind: socket.SocketKind) -> socket.socket:
        """A non-blocking IPv4 socket inside that sends with the Pod's address, and gets the answers in its place.

        Raises OSError, also where the Pod has no IPv4 address.
        """

        def made() -> socket.socket:
            own = self.network.address(4) if self.network else None
            if own is None:
                raise OSError(errno.EADDRNOTAVAIL, "the Pod has no IPv4 address")
            opened = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, firewall.MARK)
                opened.bind((str(own.ip), 0))
            except OSError:
                opened.close()
                raise
            return opened

        return self._namespace.call(made)

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs this one inside, with all other namespaces the agent's."""
        return ["nsenter", f"--net={self._namespace.path}", "--", *argv]

    async def nft(self, text: str) -> str:
        """Commands of nft(8), all or none; what it prints. Raises ProgramFailed."""
        return await self._namespace.run(["nft", "-f", "-"], text)

    async def _watch(self) -> None:
        inside, connected = self._inside(), False
        with self._namespace.call(link_events) as events:
            async for links in nic.changes(inside, events):
                if not any(link.name == POD for link in links):
                    log.info("the Pod's veth is gone, and made again")
                    with Netlink() as root:
                        self._links.join_pod(root, inside, self.network)
                uplink = next((link for link in links if link.name == UPLINK), None)
                if uplink is not None and uplink.carrier and not connected:
                    self._announce(uplink)
                connected = uplink is not None and uplink.carrier

    def _pods_sysctls(self) -> dict[str, str]:
        """Those that every network namespace has for itself; the others are the kernel's own."""
        named = {name.replace("/", "."): value for name, value in self._sysctls.items()}

        def there() -> dict[str, str]:
            places = {name: Path("/proc/sys") / name.replace(".", "/") for name in named if name.startswith("net.")}
            return {name: named[name] for name, place in places.items() if place.exists()}

        return self._namespace.call(there)

    def _announce(self, uplink: Link) -> None:
        if self.network is not None:
            told = [address.ip for address in self.network.addresses]
            self._namespace.call(lambda: announcement.send(uplink, told))

    async def _adopt(self, root: Netlink, inside: Netlink) -> Link:
        """The Pod's card, brought here unless it is: it comes back to the root namespace when its driver is rebound."""
        if (uplink := inside.link(UPLINK)) is not None:
            return uplink
        try:
            what = self._cards.pods or "a second Ethernet interface"
            found = await nic.appeared(root, self._cards.choose_pods, what)
        except NoInterface as error:
            raise OneCard(f"{error}: a pod VM needs two network cards, so its template does") from None
        return self._links.take(root, inside, found)

    def _inside(self) -> Netlink:
        """A socket inside, made once: in the parent, for all its clones."""
        if self._wire is None:
            self._wire = self._namespace.call(Netlink)
        return self._wire
