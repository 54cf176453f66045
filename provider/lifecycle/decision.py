"""The life of a pod VM: what is known of one Pod UID → the one next step. Pure; doing it is `pod_controller`.

Theory of operation
-------------------
Three things are observed and never mixed: the Pod as the API server has it (`PodFacts`, or none: the object is gone),
its VM as vSphere shows it (`PodVM`, or none), and the connection to its guest (`Link`). From these, and a few instants,
`next_step` picks one step. It is level-triggered: no step remembers the one before, so a restart of the provider, a
lost reply or a step that failed needs no code of its own; the same facts give the same step again.

Marks on the VM say how far its life has come, and survive us:

    no VM ──Clone──▶ VM without report ──(agent)──▶ report Ready ──Pin──▶ pinned ──Serve──▶ fed

*Pinned* is the line that matters. Before it no tenant code has run: the VM may be thrown away and cloned again
(`Replace`). From then on the Pod's containers may have run: a VM that is lost is never replaced under the same UID,
the Pod fails (`Lose`), and its owner makes a new one.

A VM whose host vCenter has lost (`connected` is false) is shown as it was last, and nothing can be done to it. vSphere
HA may start it on another host, the host may come back, and an admin may only have disconnected it: so it is waited for
as long as its guest answers, and a settled time longer. Then the Pod fails, whatever has run: a second VM of its UID
may never be made, since the first one may run on where nobody sees it. The VM is destroyed as soon as its host is back,
and a Pod of the same name (a StatefulSet's) waits for that.

Absence means something only while `synced` is true; a stale inventory never leads to a clone or to a destroy. Each
operation on a VM is idempotent, so a step may be repeated at will; `Clone` alone is not, and is therefore only taken
when a synced inventory shows no VM of that UID.

    the Pod is      no VM            VM off               VM on, not pinned   VM on, pinned
    ─────────────   ──────────────   ──────────────────   ─────────────────   ───────────────────────────────
    gone            Forget           Discard              Discard             Discard
    deleted, held   Wait             Discard              Discard             Discard     (g=0, a finalizer keeps it)
    deleted         Finish           Finish               Finish              Serve, Finish after the deadline
    terminal        Wait             Discard              Discard             Serve (logs are read from the guest)
    new             Refuse / Clone   Wait, then Replace   Wait, Pin           Serve
    has run         Lose             Wait, then Lose      (as new)            Serve

    the Pod is      VM on a lost host
    ─────────────   ──────────────────────────────────────────────
    gone, terminal  Wait
    deleted         Serve, Finish (the object alone) once settled
    new, has run    Serve if pinned, else Wait; Lose once settled
"""

from provider.errors import PredecessorRuns, ProviderError, VCenterUnreachable
from provider.lifecycle.facts import Facts, Link, PodFacts
from provider.lifecycle.steps import (
    Clone,
    Discard,
    Finish,
    Forget,
    Hold,
    Lose,
    Pin,
    Refuse,
    Replace,
    Serve,
    Step,
    Wait,
)
from provider.podvm import GuestPhase, PodVM, PowerState

OFF_SETTLES = 10.0
"""Seconds that a VM may be seen off: vSphere HA restarts it, and a clone that another process asked for is switched on
last."""
LOST_HOST_SETTLES = 60.0
"""Seconds without a sign of a VM's host or guest. vSphere HA needs about 20 s to find a host dead, then starts its
VMs."""
APPEARS_WITHIN = 30.0
"""Seconds from the end of a clone's task to its VM in the inventory watch."""
UNREACHABLE_AFTER_GRACE = 30.0
"""Seconds after the grace period for a guest that does not answer (contract; the kubelet kills at the grace period)."""
STUCK_AFTER_GRACE = 120.0
"""Seconds after the grace period for a guest that is connected but does not end: it may be its tenant's by now."""
GUEST_DELETES_WITHIN = 15.0
"""Seconds for a delete that the guest has asked for, from power-off to the object's end."""
DELETE_AGAIN = 5.0
"""Seconds after which a delete that was answered but not seen is sent again."""


def next_step(facts: Facts) -> Step:
    """The one next step."""
    pod, vm = facts.pod, facts.vm
    if pod is None:
        if vm is not None:
            return Discard(vm) if vm.connected else Wait()
        if not facts.synced:
            return Wait()
        return Forget() if (appears := _appears(facts)) is None else Wait(appears)
    if pod.deleted:
        return _deleted(facts, pod)
    if pod.terminal:
        return _terminal(pod, vm)
    if vm is None:
        return _without_vm(facts, pod)
    if not vm.connected:
        return _on_lost_host(facts, vm)
    return _with_vm(facts, pod, vm)


def _deleted(facts: Facts, pod: PodFacts) -> Step:
    vm = facts.vm
    if pod.grace == 0 and pod.terminal and pod.held:
        # The delete is done as far as it is ours; the VM has no reason to live.
        return Discard(vm) if vm and vm.connected else Wait()
    if facts.delete_sent_at is not None and facts.now < facts.delete_sent_at + DELETE_AGAIN:
        return Wait(facts.delete_sent_at + DELETE_AGAIN)
    if facts.guest_deletes_at is not None and facts.now < facts.guest_deletes_at + GUEST_DELETES_WITHIN:
        return Wait(facts.guest_deletes_at + GUEST_DELETES_WITHIN)
    if vm is None:
        if not facts.synced and not pod.refused:
            return Wait()
        if (appears := _appears(facts)) is not None:
            return Wait(appears)
        return Finish(None, _gone_text(facts, pod))
    if not vm.connected:
        lost = _lost_at(facts)
        return Finish(None, _LOST_HOST) if pod.terminal or facts.now >= lost else Serve(vm, until=lost)
    if vm.power_state is PowerState.OFF:
        return Finish(vm, "the VM was off when the Pod was deleted")
    if pod.grace == 0:
        return Finish(vm, "the Pod was deleted without grace")
    if vm.pin is None:
        return Finish(vm, "the Pod was deleted before its VM was ready")
    if not facts.addressed:
        return Finish(vm, "the Pod was deleted before it had an address")
    if facts.link is Link.REFUSED:
        return Finish(vm, "the guest refuses to serve")
    grace_ends = (facts.deleted_at if facts.deleted_at is not None else facts.now) + pod.grace
    # A kubelet that is stopping a container already does not stop it sooner (kubernetes/kubernetes#83916).
    patient = facts.link is Link.CONNECTED and not facts.grace_shortened
    patience = STUCK_AFTER_GRACE if patient else UNREACHABLE_AFTER_GRACE
    if facts.now >= grace_ends + patience:
        return Finish(vm, f"the guest did not end the Pod within {patience:.0f} s after its grace period")
    return Serve(vm, until=grace_ends + patience)


def _appears(facts: Facts) -> float | None:
    """The instant up to which a VM that was cloned a moment ago may not be in the inventory yet."""
    if facts.cloned_at is None or facts.now >= facts.cloned_at + APPEARS_WITHIN:
        return None
    return facts.cloned_at + APPEARS_WITHIN


def _gone_text(facts: Facts, pod: PodFacts) -> str:
    if pod.started or facts.fed:
        return "the VM was gone when the Pod was deleted"
    return "the Pod was deleted before it had a VM"


def _terminal(pod: PodFacts, vm: PodVM | None) -> Step:
    if vm is None or not vm.connected:
        return Wait()
    # Of a Pod that is lost to the cluster nothing may run, whatever its guest thinks.
    if vm.power_state is PowerState.OFF or vm.pin is None or pod.lost:
        return Discard(vm)
    return Serve(vm)


_LOST_HOST = "its host is lost"


def _lost_at(facts: Facts) -> float:
    """The instant at which a VM on a lost host is given up, as long as its guest does not answer."""
    if facts.link is Link.CONNECTED:
        return facts.now + LOST_HOST_SETTLES
    return max(facts.vm_since, facts.silent_since) + LOST_HOST_SETTLES


def _on_lost_host(facts: Facts, vm: PodVM) -> Step:
    if facts.now >= (lost := _lost_at(facts)):
        return Lose(_LOST_HOST)
    return Wait(lost) if vm.pin is None else Serve(vm, until=lost)


def _without_vm(facts: Facts, pod: PodFacts) -> Step:
    if not facts.synced:
        waits = facts.outage and pod.new and not facts.fed
        return Hold(VCenterUnreachable(f"the VM is made when vCenter is back: {facts.outage}")) if waits else Wait()
    if (appears := _appears(facts)) is not None:
        return Wait(appears)
    if pod.started or facts.fed:
        return Lose("the VM is gone")
    match facts.plan:
        case None:
            return Wait()
        case ProviderError() as error:
            return Refuse(error)
        case plan:
            # The new Pod's containers must not run beside the old one's (StatefulSet: at most one).
            if facts.predecessor_on:
                return Hold(PredecessorRuns("the VM of an older Pod of the same name is not off yet"))
            return Clone(plan)


def _with_vm(facts: Facts, pod: PodFacts, vm: PodVM) -> Step:
    has_run = vm.pin is not None and (pod.started or facts.fed)
    if vm.power_state is PowerState.OFF:
        settled = facts.vm_since + OFF_SETTLES
        if facts.now < settled:
            return Wait(settled)
        return Lose("the VM is powered off") if has_run else Replace(vm, "it is powered off before it was used")
    if vm.pin is None:
        return _unpinned(facts, vm)
    if facts.link is Link.REFUSED:
        return Lose("the guest refuses to serve", vm) if has_run else Replace(vm, "its guest refuses to serve")
    if facts.address_lost:
        return Lose(facts.address_lost, vm) if has_run else Replace(vm, facts.address_lost)
    return Serve(vm)


def _unpinned(facts: Facts, vm: PodVM) -> Step:
    if facts.address_taken:
        return Replace(vm, f"its address {vm.address} or its Pod's, {', '.join(vm.pod_addresses)}, is another VM's too")
    if vm.report is None:
        overdue = facts.vm_since + facts.report_timeout
        if facts.now < overdue:
            return Wait(overdue)
        return Replace(vm, f"its agent was silent for {facts.report_timeout:.0f} s")
    if vm.report.phase is GuestPhase.REFUSED:
        return Replace(vm, f"its guest refused: {vm.report.message or 'no reason given'}")
    return Pin(vm, vm.report.fingerprint)
