"""The clone's own key and certificate: made after the thaw, pinned by its fingerprint, kept for a reboot.

The files are named after nothing but carry the clone's id beside them: a disk whose id is another clone's belongs to a
clone of a clone, whose key must not be used.
"""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from . import files, pki
from .identity import Identity


class ForeignDisk(Exception):
    """The disk carries the key of another clone: this machine was cloned from a pod VM."""


@dataclass(frozen=True, slots=True)
class ServingKey:
    """Key, certificate and the fingerprint that the provider pins."""

    key: Path
    cert: Path
    fingerprint: str


async def obtain(openssl: str, folder: Path, identity: Identity, waiting: pki.Waiting | None = None) -> ServingKey:
    """The clone's key: the stored one after a reboot, else a new one, by the program that waits for this if one does.

    Raises ForeignDisk, ProgramFailed.
    """
    key, cert, owner = folder / "tls.key", folder / "tls.crt", folder / "clone-id"
    stored = files.read(owner)
    if stored is None:
        extensions = [f"subjectAltName=IP:{identity.address.ip}", "extendedKeyUsage=serverAuth"]
        await (waiting or pki.Waiting(openssl, folder)).certify(identity.uid or identity.clone_id, extensions)
        files.write(owner, identity.clone_id)  # last: a crash before it makes a new key, which nobody has pinned
    elif stored != identity.clone_id:
        raise ForeignDisk(f"{folder} belongs to clone {stored}, this is clone {identity.clone_id}")
    return ServingKey(key, cert, fingerprint(cert.read_text()))


def fingerprint(pem: str) -> str:
    """`sha256:<hex>` of the DER certificate."""
    return f"sha256:{hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()}"
