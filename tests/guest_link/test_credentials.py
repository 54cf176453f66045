"""Who the provider is to its guests, and who they are to it: proven before a word is said."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from provider.errors import GuestIdentityMismatch, GuestUnreachable
from provider.guest import credentials, frames
from provider.guest.credentials import ClientCredentials
from provider.guest.dial import dial, fingerprint

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass(slots=True)
class Guest:
    """A TLS server that trusts one CA and greets whom it knows; `met` are the client certificates it has seen."""

    port: int
    pin: str
    met: list[x509.Certificate] = field(default_factory=list)
    protocols: list[str | None] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        self.met.append(x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)))
        self.protocols.append(tls.selected_alpn_protocol())
        writer.write(b"welcome")
        with contextlib.suppress(OSError):
            self.heard.append(await reader.read())
        writer.close()
        self.gone.set()


def make_credentials(ca: dict[str, str] | None = None) -> ClientCredentials:
    return credentials.load(ca or credentials.new_ca("test", NOW), NOW)


OURS = credentials.new_ca("ours", NOW)


@pytest.fixture
async def guest() -> AsyncIterator[Guest]:
    """A guest that trusts `OURS`."""
    theirs = trustme.CA().issue_cert("guest")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.configure_cert(context)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=OURS["ca.crt"])
    context.set_alpn_protocols([frames.ALPN, "http/1.1"])
    pin = fingerprint(ssl.PEM_cert_to_DER_cert(theirs.cert_chain_pems[0].bytes().decode()))
    made = Guest(0, pin)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


async def test_a_guest_lets_in_whoever_its_ca_has_signed(guest: Guest) -> None:
    ours = make_credentials(OURS)
    for context, protocol in ((ours.feed, frames.ALPN), (ours.kubelet, "http/1.1")):
        reader, writer = await dial("127.0.0.1", guest.port, guest.pin, context)
        assert await reader.readexactly(7) == b"welcome"
        writer.close()
        assert guest.protocols[-1] == protocol


async def test_each_process_has_a_certificate_of_its_own_and_guests_know_them_all(guest: Guest) -> None:
    for _ in range(2):
        reader, writer = await dial("127.0.0.1", guest.port, guest.pin, make_credentials(OURS).feed)
        await reader.readexactly(7)
        writer.close()
    assert len({certificate.serial_number for certificate in guest.met}) == 2


async def test_the_certificate_is_a_clients_and_good_for_a_year_of_clocks_that_differ(guest: Guest) -> None:
    reader, writer = await dial("127.0.0.1", guest.port, guest.pin, make_credentials(OURS).feed)
    await reader.readexactly(7)
    writer.close()
    (certificate,) = guest.met
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_before_utc < NOW - datetime.timedelta(minutes=30)
    assert certificate.not_valid_after_utc > NOW + 364 * DAY


async def test_a_guest_of_another_provider_does_not_let_us_in(guest: Guest) -> None:
    strangers = make_credentials().feed

    async def enter() -> bytes:
        reader, _ = await dial("127.0.0.1", guest.port, guest.pin, strangers)
        return await reader.readexactly(7)

    with pytest.raises((GuestUnreachable, OSError, EOFError)):  # TLS 1.3 tells it after the handshake
        await enter()
    assert guest.met == []


@pytest.mark.parametrize("pin", ["", "sha256:", "sha256:" + "0" * 64, "sha1:ab"])
async def test_what_is_not_the_pinned_guest_is_sent_nothing(guest: Guest, pin: str) -> None:
    with pytest.raises(GuestIdentityMismatch):
        await dial("127.0.0.1", guest.port, pin, make_credentials(OURS).feed)
    async with asyncio.timeout(30):
        await guest.gone.wait()
    assert b"".join(guest.heard) == b""


async def test_a_part_of_the_pin_is_not_the_pin(guest: Guest) -> None:
    for pin in (guest.pin[:-1], guest.pin + "0", guest.pin.upper()):
        with pytest.raises(GuestIdentityMismatch):
            await dial("127.0.0.1", guest.port, pin, make_credentials(OURS).feed)


async def test_a_guest_that_speaks_an_old_tls_is_none() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("guest").configure_cert(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    with pytest.raises(GuestUnreachable):
        await dial("127.0.0.1", server.sockets[0].getsockname()[1], "sha256:00", make_credentials().feed)
    server.close()


async def test_a_guest_that_does_not_answer_is_not_waited_for_long() -> None:
    accepted = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    with pytest.raises(GuestUnreachable, match="within"):
        await dial("127.0.0.1", server.sockets[0].getsockname()[1], "sha256:00", make_credentials().feed, within=0.1)
    assert accepted.is_set()
    server.close()


async def test_a_port_that_nobody_listens_on_is_an_unreachable_guest() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(GuestUnreachable, match=str(port)):
        await dial("127.0.0.1", port, "sha256:00", make_credentials().feed)


def test_a_ca_signs_clients_and_no_other_cas() -> None:
    ca = x509.load_pem_x509_certificate(credentials.new_ca("x" * 100, NOW)["ca.crt"].encode())
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert ca.not_valid_after_utc > NOW + 3600 * DAY


def test_no_two_cas_have_a_key_in_common() -> None:
    one, other = credentials.new_ca("same", NOW), credentials.new_ca("same", NOW)
    assert one["ca.key"] != other["ca.key"]


def test_a_guest_is_given_the_certificate_and_never_the_key() -> None:
    assert make_credentials(OURS).ca_pem == OURS["ca.crt"]
    assert "PRIVATE" not in OURS["ca.crt"]


def test_no_key_is_left_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make_credentials()
    assert list(tmp_path.iterdir()) == []


def encrypted() -> str:
    key = load_pem_private_key(OURS["ca.key"].encode(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()


def of_rsa() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "secret",
    [
        {},
        {"ca.crt": OURS["ca.crt"]},
        {"ca.key": OURS["ca.key"]},
        {**OURS, "ca.crt": ""},
        {**OURS, "ca.key": "no PEM"},
        {**OURS, "ca.key": OURS["ca.crt"]},
        {**OURS, "ca.crt": OURS["ca.key"]},
        {**OURS, "ca.key": encrypted()},
        {**OURS, "ca.key": of_rsa()},
        {**OURS, "ca.key": credentials.new_ca("other", NOW)["ca.key"]},
    ],
)  # fmt: skip
def test_a_secret_that_holds_no_ca_is_told_so(secret: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        credentials.load(secret, NOW)
