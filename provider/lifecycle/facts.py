"""What is known of one Pod UID: its Pod, its VM, the connection to its guest, and a few instants. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from provider.errors import ProviderError
from provider.plan import PodPlan
from provider.podvm import PodVM


class Link(StrEnum):
    """The connection to the guest's agent."""

    NONE = "None"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"
    LOST = "Lost"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What counts of a Pod object."""

    deleted: bool = False  # a deletionTimestamp is set
    grace: float = 0.0  # deletionGracePeriodSeconds
    terminal: bool = False  # phase Succeeded or Failed
    lost: bool = False  # … because its VM was lost
    started: bool = False  # a kubelet has reported on it: containers may have run
    held: bool = False  # somebody's finalizer keeps the object
    refused: bool = False  # Failed by our own refusal: there never was a VM

    @property
    def new(self) -> bool:
        """It is to have a VM, and nothing of it has run."""
        return not (self.deleted or self.terminal or self.started)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision depends on. Instants are of one monotonic clock; None: it has not happened."""

    pod: PodFacts | None
    plan: PodPlan | ProviderError | None  # an error: it cannot be honoured, or does not fit; None: not known yet
    vm: PodVM | None
    synced: bool
    now: float
    link: Link = Link.NONE
    fed: bool = False  # this process has fed it: containers may have run
    predecessor_on: bool = False  # the VM of an older Pod of the same name still runs
    address_taken: bool = False  # another VM has its address
    addressed: bool = True  # the Pod's address is known: before, it is not fed
    address_lost: str = ""  # why it has none any more
    vm_since: float = 0.0  # the VM is as it is (power state, its host connected) since
    silent_since: float = 0.0  # its guest has not been connected since
    outage: str = ""  # why the inventory is not synced any more
    cloned_at: float | None = None  # a clone of ours ended well
    deleted_at: float | None = None  # the deletion was first seen
    grace_shortened: bool = False  # by a second delete
    guest_deletes_at: float | None = None  # the guest has asked for the final delete
    delete_sent_at: float | None = None  # we have sent the final delete
    report_timeout: float = 300.0
