"""Which guest serves a Pod: what the kubelet API needs to know of the pod controller, and no more."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from provider.feed import KubeObject


@dataclass(frozen=True, slots=True)
class GuestEndpoint:
    """Where a Pod's guest answers, and the pin that it is known by."""

    address: str
    port: int
    pin: str
    ssl_context: ssl.SSLContext
    pod: KubeObject
    connected: bool = True  # its agent is: who asks many guests need not wait for one that is not


class GuestDirectory(Protocol):
    """Looked up anew for each request: a Pod made again under its old name is another one."""

    def find(self, namespace: str, name: str, uid: str | None) -> GuestEndpoint | None:
        """The guest of this Pod, or None if there is no such Pod here or its guest cannot be reached yet."""

    def pods(self) -> Sequence[KubeObject]:
        """Every Pod bound to the node."""

    def endpoints(self) -> Sequence[GuestEndpoint]:
        """The guests that can be reached."""
