"""Who we are to the guests: a CA for each VCH, whose certificate every clone is born with, and a client certificate.

A guest pins the CA, not one certificate, so that replicas and restarts each use a certificate of their own. The guest
in turn is known by the fingerprint of the certificate that it made after its thaw; no CA could vouch for it.
"""

import datetime
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provider.guest import frames

CA_CERTIFICATE = "ca.crt"
CA_KEY = "ca.key"

_CA_LIFE = datetime.timedelta(
    days=3650
)  # pod VMs live as long as their Pods: longer than any rotation would be noticed
_CLIENT_LIFE = datetime.timedelta(days=365)
_SKEW = datetime.timedelta(hours=1)  # a guest's clock is set at its thaw, roughly


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A TLS context for each protocol that guests speak, both with the same client certificate."""

    ca_pem: str
    feed: ssl.SSLContext
    kubelet: ssl.SSLContext


def new_ca(name: str, now: datetime.datetime) -> dict[str, str]:
    """A fresh CA as the data of a Secret: `ca.crt` and `ca.key`, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"vch-guest-client-ca {name}"[:64])])
    certificate = (
        _certificate(subject, subject, key.public_key(), now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return {CA_CERTIFICATE: _pem(certificate), CA_KEY: _key_pem(key)}


def load(secret: Mapping[str, str], now: datetime.datetime) -> ClientCredentials:
    """Credentials with a client certificate made on the spot. Raises ValueError for a Secret that holds no CA."""
    try:
        ca = x509.load_pem_x509_certificate(secret[CA_CERTIFICATE].encode())
        ca_key = serialization.load_pem_private_key(secret[CA_KEY].encode(), password=None)
    except KeyError as error:
        raise ValueError(f"the key {error} is missing") from error
    except TypeError as error:
        raise ValueError(f"{CA_KEY} is encrypted") from error
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{CA_KEY} is no elliptic-curve key")
    if ca.public_key() != ca_key.public_key():
        raise ValueError(f"{CA_KEY} is not the key of {CA_CERTIFICATE}")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "virtual-kubelet-vch")])
    certificate = (
        _certificate(subject, ca.subject, key.public_key(), now, _CLIENT_LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    chain = _pem(certificate) + _key_pem(key)
    return ClientCredentials(
        ca_pem=secret[CA_CERTIFICATE], feed=_context(chain, frames.ALPN), kubelet=_context(chain, "http/1.1")
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    life: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _context(chain: str, protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The guest's certificate is its own; `dial` compares its fingerprint with the pin before a byte is sent.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with tempfile.TemporaryDirectory() as folder:  # the ssl module takes files only
        path = Path(folder) / "client.pem"
        path.touch(mode=0o600)
        path.write_text(chain)
        context.load_cert_chain(path)
    return context


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
