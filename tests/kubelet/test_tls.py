"""The serving certificate is exchanged while connections last."""

import asyncio
import ssl
from datetime import UTC, datetime

import pytest
import trustme

from provider.kubelet.certificate import KeyPair
from provider.kubelet.tls import ServingTLS
from tests.kubelet.conftest import Served, Stream, pair_of


def serial(stream: Stream) -> str:
    shown = stream[1].get_extra_info("ssl_object").getpeercert()
    return str(shown["serialNumber"])


async def test_a_new_certificate_is_shown_from_the_next_connection_on_and_drops_none(served: Served) -> None:
    other = pair_of(served.ca.issue_cert("127.0.0.1"))
    async with served.connected() as before:
        served.serving_tls.use(other)
        async with served.connected() as after:
            assert serial(before) != serial(after)
        before[1].write(b"GET /healthz HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer good\r\n\r\n")
        assert (await before[0].read()).startswith(b"HTTP/1.1 ")
    assert served.serving_tls.expires == other.not_after


async def test_a_clients_certificate_is_still_asked_for_after_an_exchange(served: Served) -> None:
    served.serving_tls.use(pair_of(served.ca.issue_cert("127.0.0.1")))
    served.client_ca.issue_cert("x", common_name="jane").configure_cert(served.tls)
    status, _ = await served.ask("/pods", token=None)
    assert status == 200


async def test_a_key_of_another_certificate_is_refused(served: Served) -> None:
    one, other = pair_of(served.ca.issue_cert("127.0.0.1")), pair_of(served.ca.issue_cert("127.0.0.1"))
    with pytest.raises(ValueError, match="not that of the certificate"):
        KeyPair(other.certificate, one.key)


@pytest.mark.parametrize("expired", [False, True])
async def test_without_a_certificate_that_holds_no_handshake_succeeds(expired: bool) -> None:
    now = datetime.now(UTC)
    tls = ServingTLS(None, lambda: now)
    assert (tls.expires, tls.usable.is_set()) == (None, False)
    if expired:
        pair = pair_of(trustme.CA().issue_cert("127.0.0.1"))
        tls.use(pair)
        now = pair.not_after
    assert not tls.holds()
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=tls.context)
    client = ssl.create_default_context()
    with pytest.raises((ConnectionResetError, ssl.SSLError)):
        await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1], ssl=client)
    server.close()
