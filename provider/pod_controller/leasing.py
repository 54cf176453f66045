"""One Pod's address where a DHCP server gives it: heard from the agent, told to the Pod's owner, imposed on its status.

Known from the agent's word at the beginning, and from the Pod's own status after a restart; the agent is heard again at
each connect and must say the same. Everything else here has an address from the start (`PodVM.pod_addresses`). What is
believed is `leased_address`'s to judge.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from provider import errors, leased_address, relay
from provider.leased_address import ADDRESS_LOST, Told
from provider.pod_controller.surroundings import Surroundings
from provider.podvm import PodVM
from provider.relay import RelayRefused, RelayReply, RelayRequest

KubeObject = dict[str, Any]


class Leasing:
    """`explain` tells why the Pod waits, `on_change` is called when the address is known or lost."""

    def __init__(
        self,
        surroundings: Surroundings,
        uid: str,
        name: str,
        explain: Callable[[errors.ProviderError], Awaitable[None]],
        on_change: Callable[[], None],
    ) -> None:
        self.lost = ""  # why the Pod has no address any more
        self._here = surroundings
        self._uid = uid
        self._name = name
        self._explain = explain
        self._on_change = on_change
        self._address = ""
        self._known = asyncio.Event()
        self._log = structlog.get_logger(pod=name, uid=uid)

    def pod_seen(self, pod: KubeObject) -> None:
        """The status of a Pod that runs has the address that we gave it, also before a restart of ours."""
        status = pod.get("status") or {}
        address = status.get("podIP")
        if address and not self._address and status.get("phase") not in relay.TERMINAL:
            self._has(address)

    def addresses(self, vm: PodVM) -> tuple[str, ...]:
        """The Pod's; none as long as that is not known."""
        return vm.pod_addresses or ((self._address,) if self._address else ())

    async def known(self, vm: PodVM) -> None:
        """Returns when the Pod has its address."""
        if not vm.pod_addresses:
            await self._known.wait()

    def forget(self) -> None:
        """The VM is gone; the next one has another address."""
        self._address, self.lost = "", ""
        self._known.clear()
        self._here.leases.release(self._uid)

    async def hear(self, request: RelayRequest, vm: PodVM, pod: KubeObject | None) -> RelayReply:
        """The agent's word; what it is answered."""
        if pod is None or vm.pod_addresses:
            return relay.refusal("a lease for a Pod that needs none")
        try:
            relay.check_size(request)
            relay.check_subject(request, pod)
            told = leased_address.read(request.body)
            await self._take(told, pod)
        except RelayRefused as error:
            self._log.warning("refused a guest", verb=request.verb, reason=str(error))
            return relay.refusal(str(error))
        except errors.AddressRefused as error:
            self._log.error("address refused", error=str(error))
            self._here.events.warning(pod, error.reason, str(error))
            return relay.refusal(str(error))
        return RelayReply(200, {})

    async def _take(self, told: Told, pod: KubeObject) -> None:
        """Raises AddressRefused."""
        if told.reason == ADDRESS_LOST:
            self._lose(told.message, pod)
        elif told.address is None:
            error = leased_address.no_lease(self._here.spec, told.message)
            self._log.warning("no lease", error=str(error))
            self._here.events.warning(pod, "FailedCreatePodSandBox", f"{error.reason}: {error}")
            if not self._address:
                await self._explain(error)
        elif self._address:
            if self._address != str(told.address.ip):
                self._lose(f"the guest has {told.address.ip}, the Pod {self._address}", pod)
        else:
            others = {address: "another VM" for address in self._here.inventory.addresses()}
            taken = others | self._here.leases.taken(self._uid)
            leased_address.judge(told.address, self._here.spec, self._here.node_address, taken)
            self._here.leases.keep(self._uid, self._name, str(told.address.ip))
            if told.ready:
                self._log.info("the pod has an address", address=str(told.address))
                self._has(str(told.address.ip))

    def _has(self, address: str) -> None:
        self._address = address
        self._here.leases.keep(self._uid, self._name, address)
        self._known.set()
        self._on_change()

    def _lose(self, why: str, pod: KubeObject) -> None:
        if not self.lost:
            self._log.error("address lost", why=why)
            self._here.events.warning(pod, ADDRESS_LOST, why)
        self.lost = f"{ADDRESS_LOST}: {why}"
        self._here.leases.release(self._uid)  # it may be somebody else's now
        self._on_change()
