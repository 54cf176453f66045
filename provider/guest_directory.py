"""Which guest serves a Pod, told to the kubelet API by what the pod controller knows. The neighbour `kubelet` asks."""

import ssl
from collections.abc import Sequence

from provider.feed import KubeObject
from provider.guestinfo import GUEST_PORT
from provider.kubelet.directory import GuestEndpoint
from provider.lifecycle import Link
from provider.pod_controller import PodController
from provider.pod_controller.worker import PodWorker


class ControllersGuests:
    """`kubelet.directory.GuestDirectory`. While there is no controller there are no Pods."""

    def __init__(self) -> None:
        self._controller: PodController | None = None
        self._tls: ssl.SSLContext | None = None

    def follow(self, controller: PodController, tls: ssl.SSLContext) -> None:
        """From now on this controller's guests, reached with this client certificate."""
        self._controller = controller
        self._tls = tls

    def find(self, namespace: str, name: str, uid: str | None) -> GuestEndpoint | None:
        worker = self._controller.find(namespace, name, uid) if self._controller else None
        return self._endpoint(worker) if worker else None

    def pods(self) -> Sequence[KubeObject]:
        return [worker.pod for worker in self._workers() if worker.pod]

    def endpoints(self) -> Sequence[GuestEndpoint]:
        found = (self._endpoint(worker) for worker in self._workers())
        return [endpoint for endpoint in found if endpoint]

    def _workers(self) -> Sequence[PodWorker]:
        return list(self._controller.workers()) if self._controller else ()

    def _endpoint(self, worker: PodWorker) -> GuestEndpoint | None:
        """None before the guest was fed: its kubelet would say that it knows no such Pod."""
        if worker.pod is None or worker.guest is None or self._tls is None:
            return None
        vm = worker.guest.vm
        if vm.pin is None:
            return None
        connected = worker.guest.link is Link.CONNECTED
        return GuestEndpoint(vm.address, GUEST_PORT, vm.pin, self._tls, worker.pod, connected)
