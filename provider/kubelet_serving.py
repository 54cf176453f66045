"""Where a virtual node's kubelet API is served, by which certificate, and what is said of it (KubeletServing).

With `spec.node.address` that is an address of this machine. Without, the operator runs in the cluster: the node's
address is the ClusterIP of a Service of its own, and an EndpointSlice leads from there to this replica's Pod, on a port
that is free, so that one replica serves any number of nodes. The Service stays when another replica takes the node
over, the EndpointSlice follows. What is answered there is `kubelet`'s business.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from datetime import datetime

import structlog

from provider import errors, kubelet_service, node
from provider.api.conditions import ConditionType
from provider.backoff import Backoff
from provider.kube.client import KubeObject
from provider.kube.kubelet_services import KubeletServices
from provider.kube.nodes import NodeWrites
from provider.kube.reviews import Reviews
from provider.kube.signing import REMEDY, Signing
from provider.kubelet.authentication import Authenticator
from provider.kubelet.authorization import Authorizer
from provider.kubelet.certificates import Certificates, FromFiles, Issued
from provider.kubelet.directory import GuestDirectory
from provider.kubelet.node_series import Machine
from provider.kubelet.server import KubeletServer
from provider.kubelet.tls import ServingTLS
from provider.process import Process
from provider.vch_status import VCHStatus

StatusChange = Callable[[Callable[[VCHStatus], VCHStatus]], None]

_LONGEST_RETRY = 20.0
_PATIENCE = 5.0
"""Seconds after which is said that a certificate is waited for: a take-over that takes less is no news."""
_SETTLE = 1.0
"""Seconds between two corrections of what somebody else has changed."""
_UNPROCESSABLE = 422


class KubeletServing:
    """Of one virtual node. `address`: `spec.node.address`, or None."""

    def __init__(
        self,
        process: Process,
        vch: KubeObject,
        address: str | None,
        guests: GuestDirectory,
        machine: Callable[[], Machine],
        change_status: StatusChange,
        addressed: Callable[[str], None],
    ) -> None:
        self._process = process
        self._vch = vch
        self._name: str = vch["metadata"]["name"]
        self._given = address
        self._guests = guests
        self._machine = machine
        self._change_status = change_status
        self._addressed = addressed
        self._tls = ServingTLS(process.kubelet_client_ca, process.clock.now)
        self._served = ""  # what is served where; empty: nothing is
        self._changed = asyncio.Event()
        selector = f"{kubelet_service.KUBELET_LABEL}={self._name}"
        self._namespace = process.objects.namespace
        self._services = KubeletServices(process.client, self._namespace, selector, self._changed.set)
        self._log = structlog.get_logger(node=self._name)

    @property
    def certificate_expires(self) -> datetime | None:
        """None while there is none."""
        return self._tls.expires

    async def run(self) -> None:
        """Until cancelled."""
        address = self._given or await self._service_address()
        self._addressed(address)
        if not self._given and not self._process.pod_ip:
            await self._never(address)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_certificate(self._certificates(address)))
            group.create_task(self._serve(address))

    async def _never(self, address: str) -> None:
        """Nothing in this process can change that. The node is looked after all the same."""
        self._failed(
            errors.PodAddressUnknown(
                f"VCH_POD_IP is not set, so nothing can be behind the node's address {address}: give the operator its "
                "Pod's status.podIP, or the VirtualContainerHost a spec.node.address"
            )
        )
        await asyncio.Event().wait()

    # The address.

    async def _service_address(self) -> str:
        """The ClusterIP of the node's Service, which is made if it is not there."""
        backoff = Backoff()
        while True:
            try:
                return await self._made_service()
            except (errors.KubeError, errors.ServiceUnusable) as error:
                await self._held_up(error, backoff)

    async def _made_service(self) -> str:
        service = await self._services.get_service(kubelet_service.name(self._name))
        if service is not None:
            return kubelet_service.cluster_ip(service)
        # A Service that somebody has deleted gets the address that the Node has, if it can.
        known = node.internal_ip(await NodeWrites(self._process.client).get_node(self._name))
        try:
            return kubelet_service.cluster_ip(await self._services.apply(self._service(known)))
        except errors.KubeError as error:
            if known is None or error.code != _UNPROCESSABLE:
                raise
        return kubelet_service.cluster_ip(await self._services.apply(self._service(None)))

    def _service(self, address: str | None) -> KubeObject:
        return kubelet_service.service(self._vch, self._namespace, self._process.kubelet_port, address)

    # The certificate.

    def _certificates(self, address: str) -> Certificates:
        process = self._process
        if process.kubelet_certificate is not None:
            return FromFiles(*process.kubelet_certificate)
        return Issued(self._name, address, Signing(process.client, self._name), process.clock)

    async def _keep_certificate(self, source: Certificates) -> None:
        pending = errors.CertificatePending(f"the node's certificate is asked for, and not there yet: {REMEDY}")
        patience = asyncio.get_running_loop().call_later(_PATIENCE, self._without_certificate, pending)
        backoff = Backoff()
        try:
            while True:
                try:
                    self._tls.use(await source.next())
                except (errors.ProviderError, ssl.SSLError) as error:
                    self._log.warning("no new certificate for the kubelet API", error=str(error))
                    failure = error if isinstance(error, errors.ProviderError) else _unusable(error)
                    self._without_certificate(failure)
                    await asyncio.sleep(min(backoff.failed(failure, 0.0), _LONGEST_RETRY))
                    continue
                patience.cancel()
                backoff.succeeded()
                self._log.info("the kubelet API has a certificate", expires=str(self._tls.expires))
                self._say_served()
        finally:
            patience.cancel()

    def _without_certificate(self, error: errors.ProviderError) -> None:
        """No news as long as the one that is used holds."""
        if not self._tls.holds():
            self._failed(error)

    # The server.

    async def _serve(self, address: str) -> None:
        await self._tls.usable.wait()
        process, backoff = self._process, Backoff()
        own, port = (self._given, process.kubelet_port) if self._given else (process.pod_ip, 0)
        setting = "spec.node.address" if self._given else "VCH_POD_IP"
        while True:
            try:
                await self._serve_at(address, own, port)
            except* OSError as group:
                why = "; ".join(str(each) for each in group.exceptions)
                failure = errors.AddressNotServed(f"{setting}: cannot listen on {own}:{port}: {why}")
                await self._held_up(failure, backoff)
            finally:
                self._served = ""

    async def _serve_at(self, address: str, own: str, port: int) -> None:
        reviews = Reviews(self._process.client)
        server = KubeletServer(
            address=own,
            port=port,
            tls=self._tls.context,
            authenticator=Authenticator(reviews),
            authorizer=Authorizer(reviews, self._name),
            guests=self._guests,
            node=self._name,
            machine=self._machine,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve())
            await server.ready.wait()
            if self._given:
                self._served = f"https://{own}:{port}"
                self._say_served()
            else:
                group.create_task(self._services.watch())
                await self._keep_published(address, server.port)

    async def _keep_published(self, address: str, port: int) -> None:
        backoff = Backoff()
        service = f"Service {self._namespace}/{kubelet_service.name(self._name)}"
        place = f"https://{address}:{self._process.kubelet_port} ({service}, at {self._process.pod_ip}:{port})"
        while True:
            self._changed.clear()
            try:
                await self._publish(address, port)
            except (errors.KubeError, errors.ServiceUnusable) as error:
                self._served = ""
                await self._held_up(error, backoff)
                continue
            backoff.succeeded()
            self._served = place
            self._say_served()
            await self._changed.wait()
            await asyncio.sleep(_SETTLE)

    async def _publish(self, address: str, port: int) -> None:
        try:
            await self._services.apply(self._service(address))
        except errors.KubeError as error:
            if error.code != _UNPROCESSABLE:
                raise
            name = f"{self._namespace}/{kubelet_service.name(self._name)}"
            raise errors.ServiceUnusable(
                f"Service {name} cannot have the node's address {address}: {error}. "
                "Delete the Service that has the address, or restart the operator to have another one"
            ) from error
        endpoint = kubelet_service.endpoint_slice(self._vch, self._namespace, self._process.pod_ip, port)
        await self._services.apply(endpoint)

    # What is said.

    async def _held_up(self, error: errors.ProviderError, backoff: Backoff) -> None:
        self._log.warning("kubelet API is not served", reason=error.reason, error=str(error))
        self._failed(error)
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(backoff.failed(error, 0.0), _LONGEST_RETRY)):
                await self._changed.wait()

    def _failed(self, error: errors.ProviderError) -> None:
        now = self._process.clock.now()
        self._change_status(lambda status: status.failed(ConditionType.KUBELET_SERVING, error, now))

    def _say_served(self) -> None:
        now, where = self._process.clock.now(), self._served
        if where and self._tls.holds():
            self._change_status(lambda status: status.reached(ConditionType.KUBELET_SERVING, "Serving", where, now))


def _unusable(error: ssl.SSLError) -> errors.CertificateUnusable:
    return errors.CertificateUnusable(f"the certificate cannot be used: {error}")
