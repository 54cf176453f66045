"""Which Debian images are made from, and from where: its own mirrors, unless the environment names others."""

import os

from e2e.lab.errors import LabError

SUITE = "bookworm"
MIRROR = os.environ.get("VCH_DEBIAN_MIRROR", "")
SECURITY_MIRROR = os.environ.get("VCH_DEBIAN_SECURITY_MIRROR", "")
"""Mirrors to use instead of Debian's own, which mmdebstrap knows, updates and security fixes included."""


def origin() -> tuple[str, ...]:
    """What an image that is kept in the cache depends on."""
    return SUITE, MIRROR, SECURITY_MIRROR


def sources() -> list[str]:
    """Lines for apt's sources.list; none: mmdebstrap's own. Raises LabError."""
    if not MIRROR and not SECURITY_MIRROR:
        return []
    if not MIRROR or not SECURITY_MIRROR:
        raise LabError("VCH_DEBIAN_MIRROR and VCH_DEBIAN_SECURITY_MIRROR: give both or neither")
    return [
        f"deb {MIRROR} {SUITE} main",
        f"deb {MIRROR} {SUITE}-updates main",
        f"deb {SECURITY_MIRROR} {SUITE}-security main",
    ]
