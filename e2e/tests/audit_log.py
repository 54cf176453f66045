"""What the API server's audit log says of the replicas: who held which VCH's Lease when, and who wrote what for it.

Every request is in it, with the user agent, in which a replica names itself, and with the API server's own two times:
when it received the request and when it had answered. Nothing is sampled, and no replica is asked.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_WRITES = {"create", "update", "patch", "delete"}
_AGENT = "virtual-kubelet-vch/"


@dataclass(frozen=True, slots=True)
class Write:
    """A write of a replica that succeeded."""

    replica: str
    received: datetime
    answered: datetime
    verb: str
    resource: str
    namespace: str
    name: str
    user: str

    def __str__(self) -> str:
        return f"{self.received:%H:%M:%S.%f} {self.replica}: {self.verb} {self.resource} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Tenure:
    """A replica's first write of a Lease that another one wrote before; it ends with the next tenure."""

    replica: str
    begin: Write
    end: Write | None  # the first write of the next holder


def writes(log: Path, *, since: datetime) -> list[Write]:
    """In the order in which the API server answered them."""
    return sorted(_writes(log, since), key=lambda write: write.answered)


def tenures(of: list[Write], lease: str) -> list[Tenure]:
    """Of one VCH, oldest first."""
    found: list[Write] = []
    for write in of:
        if write.resource == "leases" and write.name == lease and (not found or found[-1].replica != write.replica):
            found.append(write)
    ends: list[Write | None] = [*found[1:], None]
    return [Tenure(begin.replica, begin, end) for begin, end in zip(found, ends, strict=True)]


def outside(of: list[Write], held: list[Tenure]) -> list[Write]:
    """Those writes for a VCH that came from a replica after another one had got the Lease, or before it got it."""
    return [write for write in of if not any(_within(write, tenure) for tenure in held)]


def _within(write: Write, tenure: Tenure) -> bool:
    if write.replica != tenure.replica or write.answered < tenure.begin.received:
        return False
    return tenure.end is None or write.received <= tenure.end.answered


def _writes(log: Path, since: datetime) -> Iterator[Write]:
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            agent, what = entry.get("userAgent") or "", entry.get("objectRef") or {}
            received = datetime.fromisoformat(entry["requestReceivedTimestamp"])
            code = (entry.get("responseStatus") or {}).get("code", 500)
            if entry["verb"] not in _WRITES or not agent.startswith(_AGENT) or received < since or code >= 400:
                continue
            yield Write(
                agent.removeprefix(_AGENT),
                received,
                datetime.fromisoformat(entry["stageTimestamp"]),
                entry["verb"],
                "/".join(filter(None, (what.get("resource"), what.get("subresource")))),
                what.get("namespace") or "",
                what.get("name") or "",
                (entry.get("impersonatedUser") or entry["user"])["username"],
            )
