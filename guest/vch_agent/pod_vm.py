"""One virtual machine: the store, the API server and the provider's port together, and the right to serve.

A clone serves exactly the identity it latched first. If guestinfo speaks of another one later, this running machine was
itself cloned: it refuses, for good. (Its containers are copies of another pod's; the provider destroys the VM.) A
standby clone latches its pod when it is bound, and then the same holds for that.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from . import clock, files, guestinfo, identity, kubeletconfig, names, parent, pki, splice
from .api_server import APIServer, bearer
from .feed import Feed, Refusal, Welcome
from .gateway import Gateway
from .guestinfo import GuestInfo
from .http_server import HTTPServer
from .identity import Identity, Phase
from .keys import ServingKey
from .latch import Latch, Latched
from .lease import PodLease
from .parent import Facts, ParentPhase
from .pki import LocalPKI
from .pod_objects import PodObjects
from .process import ProgramFailed
from .provider_port import ProviderPort, kubelet_context, server_context
from .proxy_server import ProxyServer
from .relay import Relay
from .resources import NODES
from .settings import Platform, Settings
from .setup import DNS
from .state import State
from .store import Store

log = logging.getLogger(__name__)


class PodVM:
    """The parts of the agent that live as long as the process."""

    def __init__(
        self,
        settings: Settings,
        hypervisor: GuestInfo,
        gateway: Gateway,
        adopt_names: Callable[[Identity, Path], None] = names.adopt,
    ) -> None:
        self.settings = settings
        self.gateway = gateway
        self._adopt_names = adopt_names
        self.hypervisor = hypervisor
        self.objects = PodObjects(Store(), gateway.nft, self._changed)
        self.proxy = ProxyServer(settings.run)
        self.relay = Relay()
        self.api = APIServer(self.objects, self.relay)
        self.lease = PodLease(settings, gateway, self.relay)
        self.api.ending = self.lease.release
        self.feed = Feed(self.objects, self.proxy.routes, self.relay, self._check)
        self.refused = asyncio.Event()
        self.node, self.dns = "", DNS()
        """The node name that the kubelet was started under, and what it was told of the cluster's DNS."""
        self._http: HTTPServer | None = None
        version = settings.run / "kubelet-version"  # it says so once a day: an agent that restarts must remember
        self.api.kubelet_version = files.read(version) or ""
        self.api.version_changed = lambda said: files.write(version, said)
        self._pki: LocalPKI | None = None
        self.identity: Identity | None = None
        self.parent_id = ""
        """Of the parent that this machine is, or that it was cloned from."""
        self.latch = Latch(settings)
        self._boot_id = ""
        self._state: State | None = None
        self._port: ProviderPort | None = None
        self._kubelet_tls: ssl.SSLContext | None = None
        self.certificate: pki.Waiting | None = None
        """Of a parent: what makes its clones' certificates."""

    async def serve_kubelet(self, node: str, address: str, dns: DNS) -> None:
        """Answer the kubelet, and write what it starts from. Raises OSError, ProgramFailed."""
        self.node, self.dns = node, dns
        if not self.objects.store.all(NODES):
            self.objects.own_node(node, address)
        token = files.secret(self.settings.run / "token")
        self._http = HTTPServer(self.api.handle, bearer(token))
        await self._http.start("127.0.0.1", self.settings.api_port)
        self._pki = await pki.make_local(self.settings.openssl, self.settings.run / "pki")
        kubeletconfig.write(self.settings, self._pki, node, token, dns)

    async def serve_proxy(self) -> None:
        """Answer kube-proxy too, after the kubelet. Raises OSError."""
        await self.proxy.start(self.gateway, self.node)

    def await_identity(self) -> None:
        """Have ready what makes the certificate of the clone that this machine is going to be."""
        self.certificate = pki.Waiting(self.settings.openssl, self.settings.lib)

    def become(self, who: Identity) -> bool:
        """Be this clone from now on; whether it was already before a restart of the agent.

        Raises Refusal if this machine was another clone before, or has refused before.
        """
        try:
            again = self.latch.become(who)
        except Latched as error:
            raise Refusal(error.reason, str(error)) from error
        self.identity = who
        self.lease.of(who)
        self.objects.forget()  # empty was right for a parent; of the clone's pod nothing is known yet
        self.proxy.routes.forget()
        self._state = State(self.settings.run / "state.json", who.clone_id, self.objects.exported)
        return again

    async def restore(self) -> bool:
        """Take back the objects from before the agent's restart, if there are any; the gateway is built."""
        assert self._state is not None
        values = self._state.load()
        if values is None:
            return False
        await self.objects.restore(values)
        return True

    def serve_provider(self, key: ServingKey) -> None:
        """Listen for the provider. Raises OSError."""
        assert self.identity is not None
        assert self._pki is not None
        self._boot_id = names.boot_id(self.settings.run)
        self._port = ProviderPort(server_context(key, self.identity), self.feed.serve, self._to_kubelet)
        self._port.listen(str(self.identity.address.ip), self.settings.provider_port)

    async def report(self, phase: Phase, fingerprint: str = "", message: str = "") -> None:
        """Tell the provider through guestinfo. Raises ProgramFailed."""
        assert self.identity is not None
        who, port = self.identity, self._port.port if self._port else self.settings.provider_port
        text = identity.report(who.clone_id, phase, fingerprint, str(who.address.ip), port, message)
        await self.hypervisor.set(guestinfo.REPORT, text)

    async def still_us(self) -> None:
        """Ask the hypervisor whether we are who we were; a standby clone may be told its pod.

        Raises Refusal (having refused), ProgramFailed, ValueError.
        """
        assert self.identity is not None
        who = self.identity
        value = await self.hypervisor.get_object(guestinfo.IDENTITY)
        if value is None:
            # Unset does not contradict, unless it is a fork that somebody wanted to make of this pod VM.
            other = parent.parent_id(await self.hypervisor.get_object(guestinfo.PARENT))
            if other and self.parent_id and other != self.parent_id:
                await self._refuse_as("CloneOfClone", f"this machine is clone {who.clone_id}, and no parent {other}")
        elif not identity.same_clone(who, value):
            other = str(value.get("cloneId"))
            message = f"this machine is clone {who.clone_id}; guestinfo speaks of {other}"
            await self._refuse_as("CloneOfClone", message, other)
        elif identity.pod_uid(value) != who.uid:
            await self._bind(who, value)

    async def _bind(self, standby: Identity, value: dict[str, Any]) -> None:
        """Be the pod's from now on. Raises Refusal (having refused) unless this is a standby clone's first pod."""
        told = identity.pod_uid(value) or "none"
        try:
            who = Identity.parse(value)
        except ValueError as error:
            await self._refuse_as("BadIdentity", str(error), standby.clone_id)
        else:
            if not identity.bound(standby, who):
                message = f"this machine is of pod {standby.uid or 'none, as it was made'}; guestinfo speaks of {told}"
                await self._refuse_as("OtherPod", message, standby.clone_id)
            self._adopt_names(who, self.settings.etc)
            self.identity = who
            self.lease.of(who)
            self.latch.bind(who)
            log.info("bound to pod %s/%s", who.namespace, who.name)

    async def _refuse_as(self, reason: str, message: str, clone_id: str = "") -> NoReturn:
        await self.refuse(message, clone_id=clone_id)
        raise Refusal(reason, message)

    async def refuse(self, message: str, clone_id: str = "", parent_id: str = "") -> None:
        """Never serve again: not the kubelet, not the provider, not after a restart. Told as a parent's failure to
        who wanted a parent.
        """
        log.error("refusing to serve: %s", message)
        self.api.refused = True
        self.objects.forget()
        self.latch.refuse(message)
        self.objects.store.close()
        if self._state is not None:
            self._state.forget()
            self._state = None
        if self._port is not None:
            await self._port.close()  # but for the connection that asked: it is told
        address = str(self.identity.address.ip) if self.identity else ""
        text = identity.report(clone_id, Phase.REFUSED, "", address, 0, message)
        if parent_id:
            text = parent.report(parent_id, ParentPhase.FAILED, message, Facts())
        try:
            await self.hypervisor.set(guestinfo.REPORT, text)
        except ProgramFailed as error:
            log.error("the refusal could not be reported: %s", error)
        self.refused.set()

    async def close(self) -> None:
        """Stop listening, cut connections, end what waits."""
        if self.certificate is not None:
            await self.certificate.close()
        if self._port is not None:
            await self._port.close()
        if self._http is not None:
            await self._http.close()
        await self.proxy.close()
        await self.objects.firewall.close()

    def _changed(self) -> None:
        self.proxy.nodes_fed(self.objects.store.all(NODES))
        if self._state is not None and self.objects.known.is_set():
            self._state.changed()

    async def _check(self, hello: dict[str, Any]) -> Welcome:
        assert self.identity is not None
        try:
            await self.still_us()
        except (ProgramFailed, ValueError) as error:
            raise Refusal("IdentityUnknown", f"guestinfo could not be read: {error}") from error
        who = self.identity
        if (hello.get("podUID"), hello.get("cloneId")) != (who.uid, who.clone_id):
            # A provider that dialled the wrong machine. That is no reason for the right pod to stop.
            raise Refusal("WrongPod", f"this is clone {who.clone_id} of pod {who.uid or '(none yet)'}")
        told = hello.get("time")
        if self.settings.platform is Platform.VM and isinstance(told, int | float):
            clock.step(told, forward_only=False)
        return Welcome(who.uid, self.api.kubelet_version, names.machine_id(who.clone_id), self._boot_id)

    async def _to_kubelet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refused.is_set():
            return
        assert self._pki is not None
        if self._kubelet_tls is None:  # not at the thaw, which it would make longer
            self._kubelet_tls = kubelet_context(self._pki)
        await splice.splice((reader, writer), await splice.kubelet(self._kubelet_tls, self.settings.kubelet_port))
