"""Image references, written out as containerd names them: `busybox` is `docker.io/library/busybox:latest`. Pure."""

import re

_HUB = "docker.io"
_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def normalized(reference: str) -> str:
    """The full reference, with registry and tag or digest. Raises ValueError."""
    rest, at, digest = reference.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"{reference!r}: {digest!r} is not a sha256 digest")
    host, slash, name = rest.partition("/")
    if not slash or not (set(host) & set(".:") or host == "localhost"):
        host, name = _HUB, rest
    if host == _HUB and "/" not in name:
        name = f"library/{name}"
    name, colon, tag = name.partition(":")
    if not _HOST.fullmatch(host) or not _NAME.fullmatch(name) or (colon and not _TAG.fullmatch(tag)):
        raise ValueError(f"{reference!r} is not an image reference")
    if at:
        return f"{host}/{name}@{digest}"
    return f"{host}/{name}:{tag or 'latest'}"


def registry(reference: str) -> str:
    """The registry of a full reference."""
    return reference.partition("/")[0]
