"""An OVA → a VM that is off in the VCH's folder, by OvfManager and an NFC lease, while the OVA is still being fetched.

Only when the hash of the OVA is known to be right is the lease completed; when anything goes wrong it is aborted and
the VM destroyed, so that nothing is left. (vSphere Web Services API: HttpNfcLease.)
"""

import contextlib
import http.client
import math
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pyVmomi import vim, vmodl

from provider.errors import HostUnavailable, OVAInvalid, TaskFailed
from provider.parentvm import Placement
from provider.vsphere import faults, ova
from provider.vsphere.inventory import listed, these
from provider.vsphere.session import Endpoint, Session, https, pinned

_READY_WITHIN = 120
_UPLOAD_TIMEOUT = 120.0
_PROGRESS_EVERY = 15.0  # a lease without a word of progress ends after five minutes

_collect = vmodl.query.PropertyCollector


@dataclass(frozen=True, slots=True)
class _Upload:
    url: str
    thumbprint: str  # SHA-1, as a lease tells it
    create: bool


async def import_vm(session: Session, placement: Placement, url: str, sha256: str, name: str) -> str:
    """The moref of the new VM. Raises OVAInvalid, NameTaken, InsufficientResources, NoPermission, TaskFailed."""
    return await session.call("ImportVApp", lambda: _import(session, placement, url, sha256, name))


def _import(session: Session, placement: Placement, url: str, sha256: str, name: str) -> str:
    with ova.fetch(url, sha256) as archive:
        members = archive.members()
        first = next(members, None)
        if first is None:
            raise OVAInvalid(f"{url} is empty")
        host, datastore = _where(session, placement)
        created = _spec(session, placement, datastore, ova.descriptor(first), name)
        pool = session.object(vim.ResourcePool, placement.resource_pool)
        session.check()
        lease = pool.ImportVApp(created.importSpec, session.object(vim.Folder, placement.folder), host)
        try:
            _ready(session.content, lease)
            uploads = _uploads(lease.info, created.fileItem or ())
            progress = _Progress(session, lease, sum(int(item.size or 0) for item in created.fileItem or ()))
            for member in members:
                if member.name in uploads:
                    _send(session.endpoint, member, uploads.pop(member.name), progress)
            if uploads:
                raise OVAInvalid(f"{url} lacks the files {listed(uploads)} that its OVF descriptor names")
            archive.check()
            session.check()
        except BaseException as error:
            _abandon(session, lease, error)
            raise
        made = faults.moref(getattr(lease.info, "entity", None))
        lease.HttpNfcLeaseComplete()
        return made


def _spec(session: Session, placement: Placement, datastore: Any, descriptor: str, name: str) -> Any:
    pool = session.object(vim.ResourcePool, placement.resource_pool)
    parameters = vim.OvfManager.CreateImportSpecParams(
        entityName=name, diskProvisioning="thin", locale="US", deploymentOption=""
    )
    created = session.content.ovfManager.CreateImportSpec(descriptor, pool, datastore, parameters)
    if created.error:
        raise OVAInvalid("vCenter refuses the OVF descriptor: " + "; ".join(map(faults.describe, created.error)))
    if not isinstance(created.importSpec, vim.vm.VmImportSpec):
        raise OVAInvalid("the OVA holds a vApp, not one VM")
    return created


def _where(session: Session, placement: Placement) -> tuple[Any, Any]:
    """A host that works, which a cluster without DRS has to be told, and the VCH's datastore or one of the host's."""
    content = session.content
    if placement.hosts:
        hosts = [session.object(vim.HostSystem, host) for host in placement.hosts]
    else:
        hosts = session.object(vim.ResourcePool, placement.resource_pool).owner.host
    states = ("runtime.connectionState", "runtime.inMaintenanceMode", "datastore")
    for host in these(content, vim.HostSystem, hosts, *states):
        connected = str(host.properties.get("runtime.connectionState")) == "connected"
        if not connected or host.properties.get("runtime.inMaintenanceMode"):
            continue
        if placement.datastore:
            return host.object, session.object(vim.Datastore, placement.datastore)
        for datastore in these(content, vim.Datastore, host.properties.get("datastore") or (), "summary.accessible"):
            if datastore.properties.get("summary.accessible"):
                return host.object, datastore.object
    raise HostUnavailable("no host of the compute cluster is connected and has an accessible datastore")


def _ready(content: Any, lease: Any) -> None:
    """Waits for the lease as vCenter makes the VM, without asking again and again."""
    collector = content.propertyCollector.CreatePropertyCollector()
    try:
        spec = _collect.FilterSpec(
            objectSet=[_collect.ObjectSpec(obj=lease, skip=False)],
            propSet=[_collect.PropertySpec(type=vim.HttpNfcLease, pathSet=["state"])],
        )
        collector.CreateFilter(spec, False)
        version, until = "", time.monotonic() + _READY_WITHIN
        while (state := str(lease.state)) == "initializing":
            left = math.ceil(until - time.monotonic())
            if left <= 0:
                raise TaskFailed(f"vCenter did not make the VM of the OVA ready within {_READY_WITHIN} s")
            update = collector.WaitForUpdatesEx(version, _collect.WaitOptions(maxWaitSeconds=min(left, 30)))
            version = update.version if update else version
    finally:
        collector.DestroyPropertyCollector()
    if state == "error":
        raise lease.error


def _uploads(info: Any, items: Sequence[Any]) -> dict[str, _Upload]:
    """By the name of the file in the OVA."""
    urls: Mapping[str, Any] = {device.importKey: device for device in info.deviceUrl}
    uploads = {}
    for item in items:
        if item.deviceId not in urls:
            raise TaskFailed(f"vCenter names no place to upload {item.path} to")
        device = urls[item.deviceId]
        uploads[str(item.path)] = _Upload(str(device.url), str(device.sslThumbprint or ""), bool(item.create))
    return uploads


def _send(endpoint: Endpoint, member: ova.Member, upload: _Upload, progress: "_Progress") -> None:
    target = urlsplit(upload.url.replace("*", endpoint.host))
    connection = _connection(endpoint, target.hostname or "", target.port or 443, upload.thumbprint)
    headers = {"Content-Length": str(member.size), "Content-Type": "application/x-vnd.vmware-streamVmdk"}
    if upload.create:  # the file does not exist yet: an ISO image, say
        headers |= {"Overwrite": "t", "Content-Type": "application/octet-stream"}
    try:
        connection.request(
            "PUT" if upload.create else "POST",
            target.path + (f"?{target.query}" if target.query else ""),
            body=_blocks(member, progress),
            headers=headers,
        )
        response = connection.getresponse()
        response.read()
        if response.status >= 300:
            raise TaskFailed(f"the upload of {member.name} was answered with {response.status} {response.reason}")
    finally:
        connection.close()


def _connection(endpoint: Endpoint, host: str, port: int, thumbprint: str) -> http.client.HTTPSConnection:
    """Uploads go to an ESXi host, whose certificate the lease tells, or to vCenter."""
    if host == endpoint.host and port == endpoint.port:
        return https(endpoint, _UPLOAD_TIMEOUT)
    if thumbprint:
        return pinned(host, port, thumbprint, _UPLOAD_TIMEOUT)
    context = ssl.create_default_context(cadata=endpoint.ca_pem or None)
    return http.client.HTTPSConnection(host, port, timeout=_UPLOAD_TIMEOUT, context=context)


def _blocks(member: ova.Member, progress: "_Progress") -> Iterator[bytes]:
    for block in member.blocks():
        progress.sent(len(block))
        yield block


class _Progress:
    """Tells the NFC lease how far it is, which keeps it alive; ends an upload that nobody may do any more."""

    def __init__(self, session: Session, lease: Any, total: int, now: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._lease = lease
        self._total = max(total, 1)
        self._now = now
        self._sent = 0
        self._told = now()

    def sent(self, count: int) -> None:
        self._session.check()
        self._sent += count
        if self._now() - self._told >= _PROGRESS_EVERY:
            self._told = self._now()
            self._lease.HttpNfcLeaseProgress(min(99, 100 * self._sent // self._total))


def _abandon(session: Session, lease: Any, error: BaseException) -> None:
    """The error that brought us here is the one to tell, whatever becomes of this."""
    fault: Any = vmodl.MethodFault
    with contextlib.suppress(Exception):
        entity = lease.info.entity
        lease.HttpNfcLeaseAbort(fault(msg=str(error)))
        session.check()
        entity.Destroy_Task()  # if the abort has not done it
