"""Who the guest says it is: host name, machine-id, /etc/hosts, /etc/resolv.conf.

The machine's own. A Pod has its host name and /etc/hosts of the kubelet; of these it sees the name servers alone, with
`dnsPolicy: Default`.
"""

import hashlib
import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from . import files
from .identity import Identity

_READABLE = 0o644


def machine_id(clone_id: str) -> str:
    """The machine-id of a clone: fixed for its life, a reboot included."""
    return hashlib.sha256(f"machine-id:{clone_id}".encode()).hexdigest()[:32]


def hosts(identity: Identity) -> str:
    """/etc/hosts: loopback, and the machine's own name."""
    return (
        f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{identity.address.ip}\t{identity.hostname}\n"
    )


def resolv_conf(identity: Identity) -> str:
    """/etc/resolv.conf; empty without name servers, so that nothing of the parent's shows."""
    return "".join(f"nameserver {server}\n" for server in identity.nameservers)


def adopt(identity: Identity, etc: Path, set_hostname: Callable[[str], None] = socket.sethostname) -> None:
    """Take the clone's names. Idempotent. Raises OSError."""
    set_hostname(identity.hostname)
    files.write(etc / "hostname", f"{identity.hostname}\n", _READABLE)
    files.write(etc / "machine-id", f"{machine_id(identity.clone_id)}\n", 0o444)
    files.write(etc / "hosts", hosts(identity), _READABLE)
    files.write(etc / "resolv.conf", resolv_conf(identity), _READABLE)


def boot_id(run: Path) -> str:
    """Of this boot or thaw: the kernel's own is the parent's in every clone. Raises OSError."""
    path = run / "boot-id"
    known = files.read(path)
    if known is None:
        known = str(uuid.UUID(bytes=os.urandom(16), version=4))
        files.write(path, known)
    return known
