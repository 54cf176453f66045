"""Keys and certificates of the local control plane, made with the openssl program (the standard library cannot).

One CA signs everything, as a real cluster's does for what matters here: the API server's client certificate for the
kubelet API and the serving certificates of virtual nodes, which kube-controller-manager signs with it, are verified
against it in both directions. The one exception is as there too: a CA of its own for the certificate by which the API
server passes users on to the API servers behind it.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.lab.errors import LabError

DAYS = "30"


class Authority:
    """A CA in a folder. Issues what is missing, keeps what is there."""

    def __init__(self, folder: Path, name: str = "vch-lab-ca") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not self.certificate.exists():
            _openssl(
                *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", DAYS),
                *("-subj", f"/CN={name}", "-keyout", str(self.key), "-out", str(self.certificate)),
                *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
            )

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def key(self) -> Path:
        return self.folder / "ca.key"

    def issue(
        self, name: str, common_name: str, *, groups: Sequence[str] = (), addresses: Sequence[str] = ()
    ) -> tuple[Path, Path]:
        """Certificate and key `name`: a server's if it has addresses (IP:… and DNS:…), else a client's."""
        certificate, key, request = (self.folder / f"{name}.{ending}" for ending in ("crt", "key", "csr"))
        if certificate.exists():
            return certificate, key
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={common_name}"
        _openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
            *("-subj", subject, "-keyout", str(key), "-out", str(request)),
        )
        extensions = self.folder / f"{name}.ext"
        usage = "serverAuth" if addresses else "clientAuth"
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            f"extendedKeyUsage={usage}",
        ]
        if addresses:
            lines.append(f"subjectAltName={','.join(addresses)}")
        extensions.write_text("\n".join(lines) + "\n")
        _openssl(
            *("x509", "-req", "-in", str(request), "-out", str(certificate), "-days", DAYS, "-sha256"),
            *("-CA", str(self.certificate), "-CAkey", str(self.key), "-CAcreateserial"),
            *("-extfile", str(extensions)),
        )
        request.unlink()
        extensions.unlink()
        return certificate, key

    def signing_pair(self, name: str) -> tuple[Path, Path]:
        """A bare key pair (public, private), for the tokens of service accounts."""
        public, private = self.folder / f"{name}.pub", self.folder / f"{name}.key"
        if not public.exists():
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private))
            _openssl("ec", "-in", str(private), "-pubout", "-out", str(public))
        return public, private


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"openssl {arguments[0]}: {done.stderr.strip()}")
