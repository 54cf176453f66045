"""What the agents write to `guestinfo.vch.report`: of pod VMs and of parents. Pure.

Guests write it, so nothing in it is trusted to be well made; a report that is not, or is another VM's (a clone inherits
its source's), is none. All other keys are `guestinfo`'s; the agent's side is `guest/vch_agent/phases.py`.
"""

import json
from collections.abc import Mapping
from typing import Any

from provider.parentvm import GuestFacts, ParentPhase, ParentReport, PreloadedImage
from provider.podvm import GuestPhase, GuestReport

_MAX_REPORT = 4096  # a real report has about 300 bytes; more is not ours
_MAX_PARENT_REPORT = 65536  # all that one guestinfo message can hold: it lists images
_MAX_TEXT = 512

_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def decode_report(text: str, clone_id: str) -> GuestReport | None:
    """The agent's report, or None if there is none, it is malformed, or it is another clone's (inherited)."""
    if not text or len(text) > _MAX_REPORT:
        return None
    try:
        raw = json.loads(text)
        report = GuestReport(
            clone_id=str(raw["cloneId"]),
            phase=GuestPhase(raw["phase"]),
            fingerprint=str(raw["fingerprint"]),
            address=str(raw["address"]),
            port=int(raw["port"]),
            message=str(raw.get("message", ""))[:_MAX_TEXT],
        )
    except _MALFORMED:
        return None
    return report if report.clone_id == clone_id else None


def decode_parent_report(text: str, parent_id: str) -> ParentReport | None:
    """As `decode_report`, of a parent's agent. No tenant's code ever ran there; it is read with care all the same."""
    if not text or len(text) > _MAX_PARENT_REPORT:
        return None
    try:
        raw = json.loads(text)
        report = ParentReport(
            parent_id=str(raw["parentId"]),
            phase=ParentPhase(raw["phase"]),
            message=str(raw.get("message") or "")[:_MAX_TEXT],
            guest=_guest_facts(raw.get("guest") or {}),
        )
    except _MALFORMED:
        return None
    return report if report.parent_id == parent_id else None


def _guest_facts(raw: Mapping[str, Any]) -> GuestFacts:
    def text(key: str) -> str:
        return str(raw.get(key) or "")[:_MAX_TEXT]

    images = [
        PreloadedImage(tuple(str(name)[:_MAX_TEXT] for name in image["names"]), int(image["sizeBytes"]))
        for image in raw.get("images") or ()
    ]
    return GuestFacts(
        os_image=text("osImage"),
        kernel_version=text("kernelVersion"),
        kubelet_version=text("kubeletVersion"),
        container_runtime_version=text("containerRuntimeVersion"),
        agent_version=text("agentVersion"),
        images=tuple(images),
        shares_memory=bool(raw.get("sharesMemory", True)),
    )
