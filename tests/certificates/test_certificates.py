"""A certificate is asked for at once, asked for again before it runs out, and files are followed."""

import asyncio
import ipaddress
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from provider import errors
from provider.kubelet.certificates import FromFiles, Issued
from tests.certificates.conftest import FakeSigner
from tests.pod_controller.hurried_loop import LoopClock

NODE, ADDRESS = "vch", "10.96.7.7"
HOUR = 3600.0


def issued(signer: FakeSigner, clock: LoopClock, chance: float = 0.5, node: str = NODE) -> Issued:
    return Issued(node, ADDRESS, signer, clock, lambda: chance)


@pytest.mark.parametrize("node", [NODE, "n" * 63])
async def test_what_is_asked_for_is_a_kubelets_serving_certificate_for_the_nodes_address(node: str) -> None:
    signer = FakeSigner()
    await issued(signer, LoopClock(), node=node).next()
    ((request, _),) = signer.asked
    assert [(each.rfc4514_attribute_name, each.value) for each in request.subject] == [
        ("O", "system:nodes"),
        ("CN", f"system:node:{node}"),
    ]
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.IPAddress(ipaddress.ip_address(ADDRESS))]
    assert request.is_signature_valid


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.7), (0.5, 0.8), (1.0, 0.9)])
async def test_the_next_one_is_asked_for_in_the_last_third_of_the_life_with_another_key(
    chance: float, share: float
) -> None:
    signer, clock = FakeSigner(HOUR), LoopClock()
    source = issued(signer, clock, chance)
    began = clock.monotonic()
    first = await source.next()
    assert clock.monotonic() - began < 1
    second = await source.next()
    assert clock.monotonic() - began == pytest.approx(share * HOUR, abs=2)
    assert clock.now() < first.not_after
    assert first.key != second.key


async def test_a_renewal_that_fails_is_due_at_once_when_it_is_asked_again() -> None:
    signer, clock = FakeSigner(HOUR), LoopClock()
    source = issued(signer, clock)
    await source.next()
    signer.failing = errors.CertificatePending("slow")
    with pytest.raises(errors.CertificatePending):
        await source.next()
    signer.failing, before = None, clock.monotonic()
    await source.next()
    assert clock.monotonic() - before < 1


async def test_a_wall_clock_that_is_put_forward_is_noticed() -> None:
    signer, clock = FakeSigner(30 * 24 * HOUR), LoopClock()
    source = issued(signer, clock)
    first = await source.next()
    clock.skew = first.not_after - clock.now()
    began = clock.monotonic()
    await source.next()
    assert clock.monotonic() - began < 1


async def test_certificates_that_hold_for_nothing_are_not_asked_for_without_end() -> None:
    signer, clock = FakeSigner(1.0), LoopClock()
    source = issued(signer, clock)
    began = clock.monotonic()
    for _ in range(3):
        await source.next()
    assert clock.monotonic() - began >= 120


async def test_a_certificate_of_another_key_is_not_taken() -> None:
    signer = FakeSigner()
    signer.other_key = True
    with pytest.raises(errors.CertificateRefused, match="not that of the certificate"):
        await issued(signer, LoopClock()).next()


def write(folder: Path, certificate: trustme.LeafCert) -> None:
    (folder / "tls.crt").write_bytes(certificate.cert_chain_pems[0].bytes())
    (folder / "tls.key").write_bytes(certificate.private_key_pem.bytes())


async def test_files_are_used_and_followed(tmp_path: Path) -> None:
    ca = trustme.CA()
    write(tmp_path, ca.issue_cert("one"))
    source = FromFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    first = await source.next()
    following = asyncio.ensure_future(source.next())
    await asyncio.sleep(HOUR)
    assert not following.done()
    write(tmp_path, ca.issue_cert("two"))
    assert (await following).certificate != first.certificate


async def test_a_pair_of_which_one_half_is_written_is_told_and_used_when_it_is_whole(tmp_path: Path) -> None:
    ca = trustme.CA()
    one, two = ca.issue_cert("one"), ca.issue_cert("two")
    write(tmp_path, one)
    source = FromFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    await source.next()
    (tmp_path / "tls.crt").write_bytes(two.cert_chain_pems[0].bytes())
    with pytest.raises(errors.CertificateUnusable, match="--kubelet-certificate"):
        await source.next()
    write(tmp_path, two)
    assert (await source.next()).key == two.private_key_pem.bytes()


async def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(errors.CertificateUnusable, match=r"tls\.crt"):
        await FromFiles(tmp_path / "tls.crt", tmp_path / "tls.key").next()
