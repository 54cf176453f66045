"""Time passes at once in these tests; the signer is one that signs whatever it is asked for."""

import datetime
from collections.abc import Callable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from provider import errors
from tests.pod_controller.hurried_loop import HurriedLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], HurriedLoop]]:
    return {"hurried": HurriedLoop}


class FakeSigner:
    """`kube.signing.Signing`: certificates that hold for so many seconds."""

    def __init__(self, life: float = 3600.0) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.life = life
        self.asked: list[tuple[x509.CertificateSigningRequest, datetime.datetime]] = []
        self.failing: errors.ProviderError | None = None
        self.other_key = False

    async def sign(self, request_pem: bytes, now: datetime.datetime, within: float) -> bytes:
        request = x509.load_pem_x509_csr(request_pem)
        self.asked.append((request, now))
        if self.failing:
            raise self.failing
        name = x509.Name([])
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(name)
            .public_key(self.key.public_key() if self.other_key else request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(seconds=self.life))
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)
