"""The steps in the life of a pod VM, one of which `decision` picks and `pod_controller` takes. Pure."""

from dataclasses import dataclass

from provider.errors import ProviderError
from provider.plan import PodPlan
from provider.podvm import PodVM


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until the facts change, or until then."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A new Pod waits for what is not its own business: say so."""

    error: ProviderError


@dataclass(frozen=True, slots=True)
class Forget:
    """Neither Pod nor VM: the end."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Fail the Pod: it asks for what cannot be honoured, or for more than is left."""

    error: ProviderError


@dataclass(frozen=True, slots=True)
class Clone:
    """Instant-clone a parent, or bind a standby clone."""

    plan: PodPlan


@dataclass(frozen=True, slots=True)
class Pin:
    """Write the fingerprint where the guest cannot change it."""

    vm: PodVM
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Be connected and keep the guest's objects up to date."""

    vm: PodVM
    until: float | None = None  # look again then


@dataclass(frozen=True, slots=True)
class Replace:
    """Destroy a VM in which nothing of the tenant has run; the next step is a new clone."""

    vm: PodVM
    why: str


@dataclass(frozen=True, slots=True)
class Lose:
    """Fail the Pod: its VM is lost. `vm` may still run, and is switched off first: nothing of a Pod runs once it is
    told to have ended."""

    why: str
    vm: PodVM | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """End the VM, store a terminal phase, then delete the object (UID precondition)."""

    vm: PodVM | None
    why: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Power off and destroy."""

    vm: PodVM


Step = Wait | Hold | Forget | Refuse | Clone | Pin | Serve | Replace | Lose | Finish | Discard
