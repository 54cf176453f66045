"""The TLS side of the kubelet API: our serving certificate, and the CA of the client certificates that we accept."""

import ssl
from pathlib import Path

from cryptography import x509


def server_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """Raises OSError or ssl.SSLError for files that are not there or not PEM.

    A client certificate is asked for, not demanded: who shows none may have a bearer token. Only HTTP/1.1 is offered,
    since the upgrades of exec and port-forward exist in no later version.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def expires(certificate: Path) -> float:
    """When the first certificate of the file does, in unix seconds. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc.timestamp()
