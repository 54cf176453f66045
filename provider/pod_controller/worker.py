"""One Pod UID: asks `lifecycle` for the next step, takes it, waits for a fact to change, for ever.

Steps are taken one at a time, so nothing of a UID happens twice at once. A step that fails is tried again at growing
distances and never given up (invariant I-23); a fact that makes another step due does not wait for that. Nothing that
is kept here is needed after a restart: the marks on the VM and the Pod's status say how far things are.
"""

import asyncio
import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

import structlog

from provider import errors, leased_address, lifecycle, metrics, plan, pod_status, reachability
from provider.backoff import Backoff
from provider.capacity import Resources
from provider.lifecycle import Facts, Link
from provider.pod_controller.announcement import Announcement
from provider.pod_controller.guest import Guest, References
from provider.pod_controller.leasing import Leasing
from provider.pod_controller.making import make_vm
from provider.pod_controller.protection import Protection
from provider.pod_controller.surroundings import Surroundings
from provider.podvm import PodIdentity, PodVM, PodVMClass, PowerState
from provider.relay import RelayRefused, RelayReply, RelayRequest, refusal
from provider.waiting import wait_until

KubeObject = dict[str, Any]

_AFTER_DEFECT = 1.0


class PodWorker:
    """The worker of one UID."""

    def __init__(self, surroundings: Surroundings, uid: str, namespace: str, name: str) -> None:
        self.uid = uid
        self.namespace = namespace
        self.name = name
        self.pod: KubeObject | None = None
        self._gone = False
        self.guest: Guest | None = None
        self._here = surroundings
        self._log = structlog.get_logger(pod=f"{namespace}/{name}", uid=uid)
        self._changed = asyncio.Event()
        self._backoffs: defaultdict[type[lifecycle.Step], Backoff] = defaultdict(Backoff)
        self._references = References(surroundings, self._refresh)
        self._protection = Protection(uid, surroundings.firewalls, surroundings.events, self._refresh)
        self._serving: asyncio.Task[None] | None = None
        self._announcement = Announcement(lambda: self.pod, self._patch_status, surroundings.clock)
        self._leasing = Leasing(
            surroundings, uid, f"{namespace}/{name}", self._announcement.explain, self._address_changed
        )
        self._pin: tuple[str, str] | None = None  # moref and fingerprint, until the watch shows them
        self._start = metrics.pods.Start(surroundings.node, surroundings.clock)
        self._fed = False
        self._cut_off = False  # its VM was switched off before its guest had ended it
        self._answers = False  # the guest is connected
        self._silent_since = surroundings.clock.monotonic()
        self._cloned_at: float | None = None
        self._deleted_at: float | None = None
        self._grace = 0.0  # that the first delete gave
        self._grace_shortened = False
        self._guest_deletes_at: float | None = None
        self._delete_sent_at: float | None = None
        self._ending_since: float | None = None

    # Facts, told by the controller and by the relay.

    def see(self, pod: KubeObject) -> None:
        """The Pod as it is now; older states are ignored."""
        if self._gone or not pod_status.newer(self.pod, pod):
            return  # a UID is never used again: what is told of it after its end is old
        self.pod = pod
        self._protection.pod_seen(pod)
        self._leasing.pod_seen(pod)
        if pod["metadata"].get("deletionTimestamp"):
            grace = pod_status.pod_facts(pod).grace
            if self._deleted_at is None:
                self._deleted_at, self._grace = self._here.clock.monotonic(), grace
                self._ending_since = self._deleted_at
            self._grace_shortened = self._grace_shortened or grace < self._grace
        if pod_status.has_begun(pod):
            self._start.reached("running")
        self._refresh()

    def gone(self) -> None:
        """The object does not exist any more."""
        self._gone = True
        self.pod = None
        if self._ending_since is None:
            self._ending_since = self._here.clock.monotonic()
        self._here.admission.leave(self.uid)
        self.wake()

    def wake(self) -> None:
        """Something may have changed."""
        self._changed.set()

    def hurry(self) -> None:
        """Something changed that may make what failed succeed."""
        for backoff in self._backoffs.values():
            backoff.hurry()
        self.wake()

    def facts(self) -> Facts:
        """All that is known."""
        here = self._here
        pod = pod_status.pod_facts(self.pod) if self.pod else None
        seen = here.inventory.vm(self.uid)
        vm = self._pinned(seen.vm) if seen else None
        link = self.guest.link if self.guest and vm and self.guest.vm.moref == vm.moref else Link.NONE
        return Facts(
            pod=pod,
            plan=self._plan() if seen is None and pod is not None and pod.new else None,
            vm=vm,
            synced=here.inventory.synced,
            now=here.clock.monotonic(),
            link=link,
            fed=self._fed,
            predecessor_on=bool(here.inventory.running_namesakes(self.namespace, self.name, self.uid)),
            address_taken=vm is not None and vm.pin is None and here.inventory.address_taken(vm),
            addressed=vm is None or bool(self._leasing.addresses(vm)),
            address_lost=self._leasing.lost,
            vm_since=seen.since if seen else 0.0,
            silent_since=self._silent_since,
            outage=str(here.inventory.error or ""),
            cloned_at=self._cloned_at,
            deleted_at=self._deleted_at,
            grace_shortened=self._grace_shortened,
            guest_deletes_at=self._guest_deletes_at,
            delete_sent_at=self._delete_sent_at,
            report_timeout=here.report_timeout,
        )

    def keep_books(self) -> None:
        """A Pod with a VM, or that has run, is taken on; one that has ended is not used any more."""
        if self.pod is None:
            return
        facts, seen = pod_status.pod_facts(self.pod), self._here.inventory.vm(self.uid)
        if seen is not None or facts.started:
            overhead = self._here.parents.overhead(seen.vm) if seen else None
            beyond = _beyond_overhead(self.pod, overhead) if overhead else Resources()
            self._here.admission.keep(self.uid, _requests(self.pod), beyond)
        if facts.terminal:
            self._here.admission.end(self.uid)
            if facts.deleted:
                self._here.admission.leave(self.uid)

    # The loop.

    async def run(self) -> None:
        """Until neither Pod nor VM is left."""
        try:
            while True:
                self._changed.clear()
                self.keep_books()
                if self._here.inventory.vm(self.uid):
                    self._cloned_at = None  # it has appeared; should it go, it is gone
                step = lifecycle.next_step(self.facts())
                if not isinstance(step, lifecycle.Lose):
                    self._here.losses.over(self.uid)
                if isinstance(step, lifecycle.Forget):
                    self._count_end()
                    return
                until = await self._attempt(step)
                await wait_until(until, self._changed, self._here.clock)
        finally:
            await self.close()

    def _count_end(self) -> None:
        """Ended by its guest is also what never had one that was fed, or had ended before."""
        if self._ending_since is not None:
            seconds = self._here.clock.monotonic() - self._ending_since
            metrics.pods.ended(self._here.node, seconds, by_guest=not self._cut_off)

    async def close(self) -> None:
        """End the connection to the guest; the VM stays as it is."""
        self._leasing.forget()
        self._here.losses.over(self.uid)
        await self._disconnect()
        self._references.close()
        self._protection.close()
        self._announcement.close()

    async def _attempt(self, step: lifecycle.Step) -> float | None:
        """Take a step unless it failed a moment ago; the instant at which to look again."""
        now = self._here.clock.monotonic()
        backoff = self._backoffs[type(step)]
        if now < backoff.until:
            return backoff.until
        try:
            until = await self._take(step)
        except errors.ProviderError as error:
            delay = backoff.failed(error, self._here.clock.monotonic(), random.uniform(0.9, 1.1))  # noqa: S311
            await self._report(step, error, delay)
            return backoff.until
        if not isinstance(step, lifecycle.Clone):
            backoff.succeeded()  # a clone has succeeded only when its guest serves: see _refused_clone, _connected
        return until

    async def _take(self, step: lifecycle.Step) -> float | None:
        match step:
            case lifecycle.Wait(until):
                return until
            case lifecycle.Serve(vm, until):
                self._connect(vm)
                return until
            case lifecycle.Hold(error):
                raise error
            case lifecycle.Clone(wanted):
                await self._clone(wanted)
            case lifecycle.Pin(vm, fingerprint):
                await self._here.vsphere.pin(vm.moref, fingerprint, self.namespace)
                self._pin = (vm.moref, fingerprint)
            case lifecycle.Refuse(error):
                await self._refuse(error)
            case lifecycle.Replace(vm, why):
                self._refused_clone(vm, why)
                await self._destroy(vm)
            case lifecycle.Lose(why, vm):
                if (missing := self._missing()) is not None:
                    return missing
                await self._lose(why, vm)
            case lifecycle.Finish(finished, why):
                await self._finish(finished, why)
            case lifecycle.Discard(vm):
                await self._destroy(vm)
        return self._here.clock.monotonic()  # a step was taken: look again at once

    # The steps.

    async def _clone(self, wanted: plan.PodPlan) -> None:
        assert self.pod is not None
        self._references.follow(self.pod)
        self._protection.follow(self.pod)
        self._announcement.begin()
        self._start.begin(wanted.vm_class.name)
        try:
            made = await make_vm(self._here, self._identity(), wanted)
        except errors.BindingUnknown:
            # Unlike a clone's, the name of a bound VM keeps no second one away: wait until the inventory must show it.
            self._cloned_at = self._here.clock.monotonic()
            raise
        self._cloned_at = self._here.clock.monotonic()
        took = self._start.reached("cloned") or 0
        self._log.info("vm made", how=made.reason, vm=made.vm, vm_class=wanted.vm_class.name, seconds=round(took, 3))
        if self.pod is not None:
            self._here.events.normal(self.pod, made.reason, f"{made.message} in {took:.2f}s")

    def _identity(self) -> PodIdentity:
        here = self._here
        return PodIdentity(here.cluster, here.vch, here.node, self.namespace, self.name, self.uid)

    def _connect(self, vm: PodVM) -> None:
        """Be connected to this VM; does nothing if that is so."""
        running = self._serving is not None and not self._serving.done()
        if self.guest and self.guest.vm.moref == vm.moref and (running or self.guest.link is Link.REFUSED):
            return
        if self._serving:
            self._serving.cancel()

        async def relay_and_learn(request: RelayRequest) -> RelayReply:
            if request.verb == reachability.VERB:
                return self._hear(request)
            if request.verb == leased_address.VERB:
                return await self._leasing.hear(request, vm, self.pod)
            addresses = self._leasing.addresses(vm)
            relay = self._here.relay.handler_for(vm.identity, addresses, lambda: self.pod, self._before_delete)
            reply = await relay(request)
            if reply.code == 200 and reply.object.get("kind") == "Pod" and request.verb == "patchStatus":
                self.see(reply.object)
            return reply

        if self.pod is not None:
            self._references.follow(self.pod)
            self._protection.follow(self.pod)
        self.guest = Guest(
            self._here, vm, self._references, self._protection, lambda: self.pod, relay_and_learn, self._link_changed
        )
        self._serving = asyncio.create_task(self._serve_guest(self.guest), name=f"guest of {self.name}")

    def _hear(self, request: RelayRequest) -> RelayReply:
        """What the agent says of the cluster's network."""
        try:
            failures = reachability.parse(request.body)
        except RelayRefused as error:
            return refusal(str(error))
        if self._here.reports.heard(self.uid, f"{self.namespace}/{self.name}", failures):
            self._here.on_report()
        return RelayReply(200, {})

    async def _serve_guest(self, guest: Guest) -> None:
        try:
            await guest.run(self._before_feeding(guest.vm))
        except Exception:
            self._log.exception("connection to the guest ended by a defect")
            await asyncio.sleep(_AFTER_DEFECT)
        finally:
            self.wake()

    async def _before_feeding(self, vm: PodVM) -> None:
        await self._leasing.known(vm)
        await self._announcement.end()

    def _address_changed(self) -> None:
        if self.guest and self.guest.link is Link.CONNECTED:
            self._fed = self._fed or bool(self._leasing.addresses(self.guest.vm))
        self.wake()

    def _link_changed(self) -> None:
        answers = self.guest is not None and self.guest.link is Link.CONNECTED
        if self._answers and not answers:
            self._silent_since = self._here.clock.monotonic()
        self._answers = answers
        if self.guest and self.guest.link is Link.CONNECTED:
            self._backoffs.clear()
            took = self._start.reached("guest_ready")
            if took is not None and self.pod is not None:
                message = f"Guest agent answered {took:.2f}s after the clone was asked for"
                self._here.events.normal(self.pod, "GuestReady", message)
        self._address_changed()

    async def _before_delete(self, identity: PodIdentity) -> None:
        """The guest's kubelet has ended the Pod and asks for the final delete: the VM is off before the object goes."""
        seen = self._here.inventory.vm(identity.uid)
        self._guest_deletes_at = self._here.clock.monotonic()
        if seen is None:
            return
        try:
            await self._here.vsphere.power_off(seen.vm.moref)
        except errors.VSphereError as error:
            self._guest_deletes_at = None
            raise errors.KubeUnavailable(f"the VM cannot be powered off yet: {error}") from error

    async def _refuse(self, error: errors.ProviderError) -> None:
        assert self.pod is not None
        self._log.warning("pod refused", reason=error.reason, error=str(error))
        self._start.refused(error.reason)
        self._here.events.warning(self.pod, error.reason, str(error))
        await self._patch_status(pod_status.refused(self.pod, error, self._here.clock.now()))

    def _missing(self) -> float | None:
        """Until when a VM that is not shown any more is waited for; None: not at all."""
        here = self._here
        if here.inventory.vm(self.uid) is not None:
            return None
        until = here.losses.missing(self.uid, len(here.inventory.uids()))
        if until is not None and here.losses.braked:
            metrics.vms.BRAKES.labels(here.node).inc()
            self._log.error("brake: suspiciously many vms are gone at once: the pod is not failed yet")
        return until

    async def _lose(self, why: str, vm: PodVM | None) -> None:
        assert self.pod is not None
        self._log.error("vm lost", why=why)
        self._start.lost(pod_status.LOST)
        self._here.events.warning(self.pod, pod_status.LOST, f"The Pod's VM is lost: {why}")
        await self._disconnect()
        if vm is not None:
            await self._here.vsphere.power_off(vm.moref)
        if self.pod is not None:
            await self._patch_status(pod_status.lost(self.pod, why, self._here.clock.now()))

    async def _finish(self, vm: PodVM | None, why: str) -> None:
        assert self.pod is not None
        self._cut_off = self._cut_off or (self._fed and not pod_status.pod_facts(self.pod).terminal)
        await self._disconnect()
        if vm is not None:
            await self._here.vsphere.power_off(vm.moref)
        # The object may go while we wait for others: then there is nothing left to say of it.
        if self.pod is not None and not pod_status.pod_facts(self.pod).terminal:
            await self._patch_status(pod_status.finished(self.pod, why, self._here.clock.now()))
        if self.pod is None:
            return
        self._log.info("pod deleted", why=why)
        try:
            await self._here.pods.delete_pod(self.namespace, self.name, self.uid, 0)
        except (errors.KubeNotFound, errors.KubeConflict):
            self.gone()
            return
        self._delete_sent_at = self._here.clock.monotonic()

    def _refused_clone(self, vm: PodVM, why: str) -> None:
        """A clone of no use counts as a clone that failed, or a bad parent would be cloned without end."""
        error = errors.GuestRefused(f"VM {vm.name} ({vm.moref}) is replaced: {why}")
        self._backoffs[lifecycle.Clone].failed(error, self._here.clock.monotonic())
        self._start.failed(error.reason)
        self._log.warning("vm replaced", vm=vm.name, why=why)
        if self.pod is not None:
            self._here.events.warning(self.pod, "VirtualMachineReplaced", str(error))

    async def _destroy(self, vm: PodVM) -> None:
        await self._disconnect()
        if vm.power_state is not PowerState.OFF:  # it is, if the guest has ended in peace
            await self._here.vsphere.power_off(vm.moref)
        await self._here.vsphere.destroy(vm.moref)
        self._here.inventory.destroyed(vm.moref)
        self._here.release(self.uid)
        self._leasing.forget()
        self._fed = False
        self._cloned_at = None
        self._log.info("vm destroyed", vm=vm.name, moref=vm.moref)

    async def _disconnect(self) -> None:
        serving, self._serving, self.guest = self._serving, None, None
        if serving:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    # Status that the provider writes itself.

    async def _patch_status(self, patch: KubeObject) -> None:
        try:
            self.see(await self._here.pods.patch_pod_status(self.namespace, self.name, patch))
        except (errors.KubeNotFound, errors.KubeConflict):
            # Not there, or another Pod of the name; ask, rather than conclude from a write that failed.
            found = await self._here.pods.get_pod(self.namespace, self.name)
            if found is None or found["metadata"]["uid"] != self.uid:
                self.gone()
            else:
                raise

    async def _report(self, step: lifecycle.Step, error: errors.ProviderError, delay: float) -> None:
        doing = type(step).__name__.lower()
        self._log.warning("step failed", step=doing, reason=error.reason, error=str(error), retry_in=round(delay, 1))
        metrics.pods.STEP_FAILURES.labels(self._here.node, doing, error.reason).inc()
        if isinstance(step, lifecycle.Clone | lifecycle.Hold):
            self._start.failed(error.reason)
        if isinstance(error, errors.NoPermission):
            self._here.rights_in_doubt()
        if self.pod is None or isinstance(error, errors.KubeError):
            return
        if not isinstance(step, lifecycle.Clone | lifecycle.Hold):
            self._here.events.warning(self.pod, error.reason, f"{doing}: {error}")
            return
        self._here.events.warning(self.pod, "FailedCreatePodSandBox", f"{error.reason}: {error}")
        await self._announcement.explain(error)

    def _pinned(self, vm: PodVM) -> PodVM:
        """The VM with its pin: written is written, the watch shows it a moment later."""
        if vm.pin is None and self._pin is not None and self._pin[0] == vm.moref:
            return replace(vm, pin=self._pin[1])
        return vm

    def _refresh(self) -> None:
        if self.guest:
            self.guest.refresh()
        self.wake()

    def _plan(self) -> plan.PodPlan | errors.ProviderError | None:
        """What the Pod's VM must be, the reason why there can be none, or None while that cannot be said."""
        offer = self._here.parents.offer()
        if offer is None or self.pod is None:
            return None
        try:
            planned = plan.plan_pod(self.pod, offer)
            if not self._here.admission.decides():
                return None
            beyond = _beyond_overhead(self.pod, planned.vm_class.overhead)
            if not self._here.admission.admit(self.uid, _requests(self.pod), beyond):
                return None
        except (errors.UnsupportedPod, errors.OutOfResource) as error:
            return error
        return planned


def _requests(pod: KubeObject) -> Resources:
    """What the Pod counts for on the node."""
    counted = plan.effective_requests(pod["spec"])
    return Resources(counted["cpu"], counted["memory"], 1)


def _beyond_overhead(pod: KubeObject, of_class: PodVMClass) -> Resources:
    """The class's overhead, unless the Pod's RuntimeClass has put it into the Pod already."""
    if pod["spec"].get("overhead"):
        return Resources()
    return Resources(of_class.cpu_millis, of_class.memory_bytes)
