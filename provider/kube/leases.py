"""Leases of the operator's namespace: one for each VCH, and one with which each replica shows that it is there.

Every write is a whole object with the version that it is based on, never an apply: a replica that was overtaken must
see the conflict. Whose a VCH is follows in `provider.tenure`; the Lease of a virtual Node is another one (`nodes`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from provider import errors
from provider.kube.client import KubeClient, KubeObject, path
from provider.tenure import LeaseRecord

_API = "coordination.k8s.io/v1"
KIND = "vch.dev/lease"
"""Label of both kinds: what a Lease is for."""
VCH, REPLICA = "vch", "replica"
_MEMBER = "vch.dev/operator"
_UNTOLD = 60.0
"""Seconds for which a Lease is taken to hold that does not say how long: somebody else has written it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as stored: `record` is what is decided on, `transitions` and `acquired` are carried on."""

    name: str
    kind: str  # VCH or REPLICA
    record: LeaseRecord
    transitions: int = 0
    acquired: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A Lease as it shall be. `based_on` None: there is none yet."""

    name: str
    kind: str  # VCH or REPLICA
    holder: str  # empty: free
    duration: int  # seconds
    based_on: Lease | None
    owner: KubeObject | None = None  # goes with it


class Leases:
    """Reads and writes of the Leases in one namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def list(self, within: float) -> Mapping[str, Lease]:
        """All of ours by name, by a quorum read."""
        found = await self._client.request("GET", self._path(), query={"labelSelector": KIND}, within=within)
        leases = [_lease(item) for item in found.get("items") or ()]
        return {lease.name: lease for lease in leases}

    async def get(self, name: str, within: float) -> Lease | None:
        try:
            return _lease(await self._client.request("GET", self._path(name), within=within))
        except errors.KubeNotFound:
            return None

    async def write(self, wanted: Wanted, now: datetime, within: float) -> Lease:
        """Creates or updates. Raises KubeConflict (another was faster), KubeNotFound (it vanished)."""
        body = _object(wanted, self._namespace, now)
        if wanted.based_on is None:
            return _lease(await self._client.request("POST", self._path(), body=body, within=within))
        return _lease(await self._client.request("PUT", self._path(wanted.name), body=body, within=within))

    async def delete(self, lease: Lease, within: float) -> None:
        """Deletes it as it was seen. Raises KubeConflict if it has changed; gone already: success."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1"}
        try:
            options = {**body, "preconditions": {"resourceVersion": lease.record.version}}
            await self._client.request("DELETE", self._path(lease.name), body=options, within=within)
        except errors.KubeNotFound:
            return

    def _path(self, name: str = "") -> str:
        return path(_API, "leases", namespace=self._namespace, name=name)


def of_vch(name: str) -> str:
    """The name of a VCH's Lease."""
    return f"vch-{name}"


def of_replica(identity: str) -> str:
    """The name of a replica's Lease."""
    return f"vch-operator-{identity}"


def _lease(found: KubeObject) -> Lease:
    meta, spec = found["metadata"], found.get("spec") or {}
    record = LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        version=meta["resourceVersion"],
        duration=float(spec.get("leaseDurationSeconds") or _UNTOLD),
    )
    kind = (meta.get("labels") or {}).get(KIND, "")
    return Lease(meta["name"], kind, record, int(spec.get("leaseTransitions") or 0), spec.get("acquireTime") or "")


def _object(wanted: Wanted, namespace: str, now: datetime) -> KubeObject:
    labels = {KIND: wanted.kind} | ({_MEMBER: "true"} if wanted.kind == REPLICA else {})
    meta: KubeObject = {"name": wanted.name, "namespace": namespace, "labels": labels}
    before, moment = wanted.based_on, now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    same = before is not None and before.record.holder == wanted.holder
    if before is not None:
        meta["resourceVersion"] = before.record.version
    if wanted.owner is not None:
        meta["ownerReferences"] = [wanted.owner]
    spec: KubeObject = {
        "holderIdentity": wanted.holder,
        "leaseDurationSeconds": wanted.duration,
        "acquireTime": before.acquired if before and same and before.acquired else moment,
        "renewTime": moment,
        "leaseTransitions": (before.transitions if before else 0) + (0 if same or not wanted.holder else 1),
    }
    return {"apiVersion": _API, "kind": "Lease", "metadata": meta, "spec": spec}
