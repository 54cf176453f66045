"""Certificates made by `openssl` in processes of their own: the guest-local CA at boot, the clone's own after the thaw.

Never made in this process: an OpenSSL random generator seeded before the freeze would be the same in all siblings.
The local CA (kubelet's server certificate, the agent's client certificate) protects a loopback port and is therefore
allowed to be made in the parent; the clone's certificate (`keys`) is not.
"""

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from . import files, process

_CONFIG = "[req]\ndistinguished_name=dn\n[dn]\n"
"""`openssl req` insists on a configuration file; this one keeps the distribution's out."""
_DAYS = "3650"
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


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


class Waiting:
    """An `openssl req` that has started, and waits on its standard input to be told what to certify.

    Started before the freeze, it has loaded what it needs already in each clone: half of its work where there is no
    KVM. It makes no random number before it has read its configuration (OpenSSL seeds its generator when it is first
    used; seen with strace). Should a version come to do that sooner, clones would make the same key: so it is also
    given fresh random bytes, as `RANDFILE`.
    """

    def __init__(self, openssl: str, folder: Path) -> None:
        """Starts it, in the running event loop. It writes tls.key and tls.crt, root's alone, to the folder."""
        self._folder = files.private_folder(folder)
        self._input, self._tell = os.pipe()
        command = [openssl, "req", "-x509", "-config", "/dev/stdin", "-days", _DAYS, "-nodes", *_EC]
        command += ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
        self._ended = asyncio.create_task(self._run(command))

    async def certify(self, name: str, extensions: list[str]) -> None:
        """Have the key made and a certificate of it, self-signed. Once only. Raises ProgramFailed."""
        fresh = self._folder / "random"
        files.write(fresh, os.urandom(64))
        config = [f"RANDFILE={fresh}", "[req]", "prompt=no", "distinguished_name=dn", "x509_extensions=ext"]
        config += ["[dn]", f"CN={_quoted(name)}", "[ext]", *extensions, ""]
        os.write(self._tell, "\n".join(config).encode())
        self._close()
        try:
            await self._ended
        finally:
            fresh.unlink(missing_ok=True)

    async def close(self) -> None:
        """End it if it still waits."""
        self._close()
        self._ended.cancel()
        with contextlib.suppress(asyncio.CancelledError, process.ProgramFailed):
            await self._ended

    async def _run(self, command: list[str]) -> None:
        try:
            await process.check(command, within=None, stdin=self._input)
        finally:
            os.close(self._input)

    def _close(self) -> None:
        if self._tell >= 0:
            os.close(self._tell)
            self._tell = -1


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
    config = _config(folder)
    await process.check(_request(openssl, config, ca_key, pki.ca_cert, "/CN=vch-guest", ca))
    signed = ["-CA", str(pki.ca_cert), "-CAkey", str(ca_key)]
    server = ["subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth", "basicConstraints=CA:FALSE"]
    client = ["extendedKeyUsage=clientAuth", "basicConstraints=CA:FALSE"]
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
    command += [*_EC, "-keyout", str(key), "-out", str(cert)]
    for extension in extensions:
        command += ["-addext", extension]
    return command


def _quoted(value: str) -> str:
    """A value of an OpenSSL configuration file that is taken as it is (config(5))."""
    return "".join(f"\\{letter}" if letter in "\\\"'`$#;" else letter for letter in value if letter.isprintable())
