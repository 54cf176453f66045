"""Getting a VM for a Pod: a standby clone is bound, or a parent is instant-cloned. Not when: that is `lifecycle`'s.

Neither is idempotent. After an error that leaves open whether there is a VM, the inventory is looked at before the next
try: the Pod's UID is on the VM from its birth or its binding on.
"""

import os
import secrets
from dataclasses import dataclass

import structlog

from provider import errors, guestinfo, metrics
from provider.addresses import VMAddresses
from provider.parent_slots import Demand
from provider.plan import PodPlan
from provider.pod_controller.surroundings import Surroundings
from provider.podvm import CloneOrigin, CloneRequest, PodIdentity, PodVM

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Made:
    """How a Pod got its VM, in the words of the event."""

    reason: str
    vm: str
    message: str


async def make_vm(here: Surroundings, identity: PodIdentity, wanted: PodPlan) -> Made:
    """Raises NoParentReady, AddressesExhausted, BindingUnknown, other VSphereErrors."""
    standby = here.standby.take(wanted)
    if standby is not None and await _bind(here, identity, wanted, standby):
        here.standby.bound()
        vm = f"{standby.name} ({standby.moref})"
        return Made("VirtualMachineBound", vm, f"Bound standby VM {vm}")
    made = await _clone(here, identity, wanted)
    here.standby.cloned(wanted)
    return made


async def _bind(here: Surroundings, identity: PodIdentity, wanted: PodPlan, vm: PodVM) -> bool:
    """False if the standby clone is lost, so that another VM has to be cloned."""
    assert vm.origin is not None
    facts = here.clone_facts(
        identity=identity,
        clone_id=vm.clone_id,
        hostname=wanted.hostname,
        addresses=VMAddresses(vm.address, vm.pod_addresses),
        origin=vm.origin,
        seed=os.urandom(64),
    )
    try:
        await here.vsphere.bind(vm.moref, vm.change_version, guestinfo.encode_bind(facts))
    except errors.ProviderError as error:
        here.standby.give_back(vm)  # should it be bound after all, its change version keeps others from binding it
        if isinstance(error, errors.VCenterUnreachable | errors.TaskFailed):
            raise errors.BindingUnknown(f"it is not known whether VM {vm.name} is bound: {error}") from error
        if not isinstance(error, errors.StandbyTaken | errors.VMGone):
            raise
        log.warning("standby vm not bound", vm=vm.name, reason=error.reason, error=str(error))
        return False
    return True


async def _clone(here: Surroundings, identity: PodIdentity, wanted: PodPlan) -> Made:
    parent = here.parents.place(Demand(wanted.image, wanted.vm_class.name, wanted.shares))
    facts = here.clone_facts(
        identity=identity,
        clone_id=secrets.token_hex(16),
        hostname=wanted.hostname,
        addresses=here.reserve(identity.uid, identity.namespace),
        origin=CloneOrigin(parent.marks.parent_id, wanted.image, wanted.vm_class.name, wanted.shares),
        seed=os.urandom(64),
    )
    request = CloneRequest(parent.moref, wanted.vm_name, identity.uid, guestinfo.encode_clone(facts))
    try:
        with here.parents.lend(parent), metrics.vms.cloning(here.node, wanted.vm_class.name, here.clock):
            moref = await here.vsphere.clone(request)
    except errors.VSphereError as error:
        here.parents.refused(parent, error)
        raise
    vm = f"{wanted.vm_name} ({moref})"
    return Made("VirtualMachineCloned", vm, f"Instant-cloned VM {vm} from {parent.name}")
