"""One VCH's way to vCenter: `podvm.VSphere` on two sessions, one for calls and one for the watch.

A session each, because a wait blocks its connection on purpose. All operations end when the watch has seen their task
end; nothing is polled.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import structlog
from pyVmomi import vim

from provider import podvm
from provider.errors import (
    NamespaceNotListed,
    ParentNotFound,
    ParentNotFrozen,
    ParentUnsuitable,
    StandbyTaken,
    VCenterUnreachable,
    VMBusy,
    VMGone,
    VSphereError,
)
from provider.metrics import vcenter as metrics
from provider.parentvm import MakeParent, Placement, WantedPlacement
from provider.podvm import CloneRequest, InventoryEvent, Lost, Synced, VCenterAbout, VMMemory
from provider.vsphere import (
    blame,
    cards,
    configspec,
    content_library,
    memory,
    ova_import,
    parents,
    placement,
    privileges,
    templates,
)
from provider.vsphere.faults import moref
from provider.vsphere.inventory import Entry
from provider.vsphere.picture import Picture, TaskOutcome
from provider.vsphere.session import Endpoint, Session, unfenced
from provider.vsphere.tasks import Tasks
from provider.vsphere.watch import TIMEOUT, Watch, pause

log = structlog.get_logger()

_CALLS_AT_ONCE = 16
_CALL_TIMEOUT = 60.0
_FIRST_RETRY = 0.5
_LAST_RETRY = 15.0


async def connect(
    server: str,
    username: str,
    password: str,
    *,
    thumbprint: str | None = None,
    ca_pem: str | None = None,
    fence: Callable[[], None] = unfenced,
) -> "VCenter":
    """Logs in. `fence` is asked before each write. Raises InvalidLogin, CertificateMismatch, VCenterUnreachable."""
    endpoint = Endpoint(server, username, password, thumbprint, ca_pem)
    session = Session(endpoint, threads=_CALLS_AT_ONCE, timeout=_CALL_TIMEOUT, fence=fence)
    try:
        await session.login()
    except VSphereError:
        await session.close()
        raise
    return VCenter(endpoint, session)


class VCenter(podvm.VSphere):
    """See `podvm.VSphere` for the contracts. `resolve` comes before everything but `about`."""

    def __init__(self, endpoint: Endpoint, session: Session) -> None:
        self._endpoint = endpoint
        self._session = session
        self._placement: Placement | None = None
        self._backings: dict[str, Any] = {}  # of the Pods' cards, by namespace
        self._templates: dict[str, Entry] = {}
        self._tasks = Tasks()
        self._cards = cards.Cards(session)
        self._watching: Session | None = None

    async def about(self) -> VCenterAbout:
        about = await self._session.call("RetrieveServiceContent", lambda: self._session.content.about)
        return VCenterAbout(str(about.version), str(about.apiVersion), str(about.instanceUuid or ""))

    async def resolve(self, wanted: WantedPlacement) -> Placement:
        self._placement = placed = await placement.resolve(self._session, wanted)
        if placed.namespaces:
            # Now, so that no Pod's start has to ask.
            self._backings = await self._session.call("RetrieveNetworks", lambda: self._namespace_backings(placed))
        return placed

    async def template(self, name: str) -> str:
        found = await templates.find(self._session, self._placed, name)
        self._templates[found.moref] = found
        return found.moref

    async def import_item(self, library: str, item: str, name: str) -> str:
        made = await content_library.deploy(self._session, self._placed, library, item, name)
        await templates.mark(self._session, made)
        return made

    async def import_ova(self, url: str, sha256: str, name: str) -> str:
        made = await ova_import.import_vm(self._session, self._placed, url, sha256, name)
        await templates.mark(self._session, made)
        return made

    async def missing_privileges(self) -> Mapping[str, Sequence[str]]:
        return await privileges.missing(self._session, self._placed, list(self._templates.values()))

    async def watch(self) -> AsyncIterator[InventoryEvent]:
        delay = _FIRST_RETRY
        while True:
            try:
                async for event in self._watch_once():
                    if isinstance(event, Synced):
                        delay = _FIRST_RETRY
                    yield event
            except VSphereError as error:
                log.warning("the watch on vCenter broke", reason=error.reason, error=str(error))
                yield Lost(error)
            await pause(delay)
            delay = min(delay * 2, _LAST_RETRY)

    async def _watch_once(self) -> AsyncIterator[InventoryEvent]:
        # The second thread ends what the first one waits for.
        session = Session(self._endpoint, threads=2, timeout=TIMEOUT)
        self._watching = session
        watch = Watch(session, self._placed)
        try:
            await session.login()
            picture = Picture(self._placed.hosts)
            synced = False
            async for changes, complete in watch.changes():
                for outcome in picture.outcomes(changes):
                    self._tasks.saw(outcome)
                for event in picture.apply(changes):
                    yield event
                if complete and not synced:
                    synced = True
                    yield Synced()
                    await self._ask_for_tasks()
        finally:
            self._watching = None
            await watch.close()
            await session.close()

    async def clone(self, request: CloneRequest) -> str:
        moref = await self._instant_clone(request.parent, request.name, request.extra_config)
        self._cards.cloned(moref, request.parent)
        return moref

    async def make_parent(self, request: MakeParent) -> str:
        if request.fork:
            return await self._instant_clone(request.source, request.name, request.extra_config, pulls=request.pulls)
        placed = self._placed
        spec = await parents.full_clone_spec(self._session, request, placed)
        source, folder = self._vm(request.source), self._session.object(vim.Folder, placed.folder)
        try:
            return moref(await self._task("CloneVM_Task", lambda: source.CloneVM_Task(folder, request.name, spec)))
        except VSphereError as error:
            if isinstance(error.__cause__, vim.fault.InvalidState):
                await blame.check_host(self._session, request.host)
            raise

    async def power_on(self, moref: str) -> None:
        try:
            await self._task("PowerOnVM_Task", lambda: self._vm(moref).PowerOnVM_Task())
        except VSphereError as error:
            if isinstance(error.__cause__, vim.fault.InvalidState) and await blame.check_vm(self._session, moref):
                return
            raise

    async def bind(self, moref: str, change_version: str, extra_config: Mapping[str, str]) -> None:
        if not change_version:
            raise StandbyTaken(f"the VM {moref} is no standby VM any more")  # an empty one would not fence
        spec = configspec.bind_spec(change_version, extra_config)
        try:
            await self._task("ReconfigVM_Task", lambda: self._vm(moref).ReconfigVM_Task(spec))
        except VMBusy as error:
            if isinstance(error.__cause__, vim.fault.ConcurrentAccess):
                raise StandbyTaken(f"the VM {moref} was changed since it was seen: {error}") from error
            raise

    async def pin(self, moref: str, fingerprint: str, namespace: str) -> None:
        if self._placed.namespaces and namespace not in self._backings:
            raise NamespaceNotListed(namespace)
        edits = cards.connected(await self._cards.of(moref), self._backings.get(namespace))
        spec = configspec.pin_spec(fingerprint, edits)
        await self._task("ReconfigVM_Task", lambda: self._vm(moref).ReconfigVM_Task(spec))
        self._cards.forget(moref)

    async def power_off(self, moref: str) -> None:
        await self._task_or_gone(
            "PowerOffVM_Task", lambda: self._vm(moref).PowerOffVM_Task(), vim.fault.InvalidPowerState
        )

    async def destroy(self, moref: str) -> None:
        await self._task_or_gone("Destroy_Task", lambda: self._vm(moref).Destroy_Task())
        self._cards.forget(moref)

    async def memory(self) -> Mapping[str, VMMemory]:
        return await memory.retrieve(self._session, self._placed)

    async def close(self) -> None:
        if self._watching is not None:
            await self._watching.close()
        await self._session.close()

    @property
    def _placed(self) -> Placement:
        if self._placement is None:
            raise VCenterUnreachable("the placement is not resolved yet")
        return self._placement

    def _namespace_backings(self, placed: Placement) -> dict[str, Any]:
        own = placed.namespaces.items()
        return {namespace: parents.backing(self._session, placed, each.port_group) for namespace, each in own}

    def _vm(self, moref: str) -> Any:
        return self._session.object(vim.VirtualMachine, moref)

    async def _instant_clone(
        self, source: str, name: str, extra_config: Mapping[str, str], *, pulls: bool = False
    ) -> str:
        try:
            of_source = await self._cards.of(source)
        except VMGone as error:
            raise ParentNotFound(f"the parent VM {source} is gone from the inventory") from error
        spec = configspec.instant_clone_spec(name, extra_config, self._placed, cards.born(of_source, pulls=pulls))
        vm = self._vm(source)
        try:
            with metrics.task(self._endpoint.server, "InstantClone_Task"):
                task = await self._session.call("InstantClone_Task", lambda: vm.InstantClone_Task(spec))
                return moref(await self._tasks.result(moref(task), clone=True))
        except (ParentNotFrozen, ParentUnsuitable) as error:
            if not await blame.check_vm(self._session, source) and not isinstance(error, ParentNotFrozen):
                raise ParentNotFrozen(str(error)) from error  # InvalidArgument says it, too, says the API reference
            raise

    async def _task(self, method: str, call: Callable[[], Any]) -> Any:
        with metrics.task(self._endpoint.server, method):
            task = await self._session.call(method, call)
            return await self._tasks.result(moref(task))

    async def _task_or_gone(self, method: str, call: Callable[[], Any], *accepted: type[Exception]) -> None:
        """An operation whose end is reached as well when the VM is gone, or by one of these faults."""
        try:
            await self._task(method, call)
        except VMGone:
            return
        except VSphereError as error:
            if not isinstance(error.__cause__, accepted):
                raise

    async def _ask_for_tasks(self) -> None:
        """After the watch came back: how did the tasks end that vCenter does not list any more?"""
        for task_moref in self._tasks.waiting:
            task = self._session.object(vim.Task, task_moref)
            try:
                info = await self._session.call("RetrieveTaskInfo", lambda t=task: t.info)  # type: ignore[misc]
            except VMGone:
                self._tasks.lost(
                    task_moref, VCenterUnreachable(f"vCenter does not know the task {task_moref} any more")
                )
            except VSphereError as error:
                self._tasks.lost(task_moref, error)
            else:
                if str(info.state) in ("success", "error"):
                    self._tasks.saw(TaskOutcome(task_moref, info.result, info.error))
