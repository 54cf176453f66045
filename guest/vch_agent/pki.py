"""Certificates made by `openssl` in processes of their own: the guest-local CA at boot, the clone's own after the thaw.

Never made in this process: an OpenSSL random generator seeded before the freeze would be the same in all siblings.
The local CA (kubelet's server certificate, the agent's client certificate) protects a loopback port and is therefore
allowed to be made in the parent; the clone's certificate (`keys`) is not.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from . import files, process

_CONFIG = "[req]\ndistinguished_name=dn\n[dn]\n"
"""`openssl req` insists on a configuration file; this one keeps the distribution's out."""
_DAYS = "3650"


@dataclass(frozen=True, slots=True)
class LocalPKI:
    """Paths of the guest-local CA."""

    folder: Path

    @property
    def ca_cert(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def server_cert(self) -> Path:
        return self.folder / "kubelet.crt"

    @property
    def server_key(self) -> Path:
        return self.folder / "kubelet.key"

    @property
    def client_cert(self) -> Path:
        return self.folder / "agent.crt"

    @property
    def client_key(self) -> Path:
        return self.folder / "agent.key"


async def self_signed(openssl: str, key: Path, cert: Path, subject: str, extensions: list[str]) -> None:
    """Make an EC P-256 key and a self-signed certificate: one exec. Both files are root's alone."""
    await process.check(_request(openssl, _config(key.parent), key, cert, subject, extensions))


async def make_local(openssl: str, folder: Path) -> LocalPKI:
    """The guest-local CA with the kubelet's server and the agent's client certificate; kept if already there.

    An agent that restarts must not change them: the kubelet has loaded the CA.
    """
    pki = LocalPKI(folder)
    complete = folder / "complete"
    if complete.exists():
        return pki
    files.private_folder(folder)
    ca_key = folder / "ca.key"
    ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
    await self_signed(openssl, ca_key, pki.ca_cert, "/CN=vch-guest", ca)
    signed = ["-CA", str(pki.ca_cert), "-CAkey", str(ca_key)]
    server = ["subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth", "basicConstraints=CA:FALSE"]
    client = ["extendedKeyUsage=clientAuth", "basicConstraints=CA:FALSE"]
    config = _config(folder)
    requests = [
        _request(openssl, config, pki.server_key, pki.server_cert, "/CN=kubelet", server) + signed,
        _request(openssl, config, pki.client_key, pki.client_cert, "/O=system:masters/CN=vch-agent", client) + signed,
    ]
    await asyncio.gather(*map(process.check, requests))
    ca_key.unlink()  # nothing else is ever signed
    files.write(complete, "")
    return pki


def _config(folder: Path) -> Path:
    path = folder / "openssl.cnf"
    if not path.exists():
        files.write(path, _CONFIG)
    return path


def _request(openssl: str, config: Path, key: Path, cert: Path, subject: str, extensions: list[str]) -> list[str]:
    command = [openssl, "req", "-x509", "-config", str(config), "-days", _DAYS, "-nodes", "-subj", subject]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", str(key), "-out", str(cert)]
    for extension in extensions:
        command += ["-addext", extension]
    return command
