"""A serving certificate and its key, as values: what is asked for, what came, and when the next one is due.

Nothing is asked here (`certificates`), nothing served (`tls`). Keys are made here and are nowhere but in memory.
"""

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_EARLIEST, _LATEST = 0.7, 0.9
"""Of a certificate's life, when it is replaced: between them by chance, so that nodes do not all ask at once (as the
kubelet does, client-go util/certificate)."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain, the leaf first, and the leaf's key; both PEM. Raises ValueError for what is none."""

    certificate: bytes
    key: bytes = field(repr=False)
    not_before: datetime = field(init=False)
    not_after: datetime = field(init=False)

    def __post_init__(self) -> None:
        leaf = x509.load_pem_x509_certificate(self.certificate)
        try:
            private = serialization.load_pem_private_key(self.key, password=None)
        except TypeError as error:
            raise ValueError("the key is encrypted") from error
        if private.public_key() != leaf.public_key():
            raise ValueError("the key is not that of the certificate")
        object.__setattr__(self, "not_before", leaf.not_valid_before_utc)
        object.__setattr__(self, "not_after", leaf.not_valid_after_utc)

    def due(self, chance: float) -> datetime:
        """When it is to be replaced; `chance` from 0 to 1."""
        share = _EARLIEST + (_LATEST - _EARLIEST) * chance
        return self.not_before + (self.not_after - self.not_before) * share


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate that is asked for: the request and its key, PEM."""

    request: bytes
    key: bytes = field(repr=False)


def wanted(node: str, address: str) -> Wanted:
    """What the signer `kubernetes.io/kubelet-serving` takes, with a fresh key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
        # Not validated: X.509 has names of 64 characters at most, Kubernetes does not mind for its nodes'.
        x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}", _validate=False),
    ]
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(subject))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Wanted(request.public_bytes(serialization.Encoding.PEM), encoded)
