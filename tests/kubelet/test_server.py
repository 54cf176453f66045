"""The kubelet API: deny by default, pass bytes untouched, and trust a guest with nothing."""

import asyncio
import contextlib
import json
import socket
from dataclasses import replace

import pytest
import trustme

from provider.kubelet import fetch
from tests.kubelet.conftest import Answer, Served

LOGS = "/containerLogs/default/web/main"
EXEC = "/exec/default/web/main?command=ls&output=1"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X_Stream_Protocol_Version": "v4.channel.k8s.io"}


async def say(writer: asyncio.StreamWriter, text: bytes) -> None:
    writer.write(text)
    await writer.drain()


async def fine(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await say(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@pytest.mark.parametrize("path", [LOGS, EXEC, "/pods", "/stats/summary", "/metrics/resource", "/healthz", "/nothing"])
async def test_without_a_credential_nothing_is_said(served: Served, path: str) -> None:
    assert (await served.ask(path, token=None))[0] == 401
    assert (await served.ask(path, token="unknown"))[0] == 401
    assert served.guest.heads == []


@pytest.mark.parametrize("path", [LOGS, EXEC, "/pods", "/nothing"])
async def test_without_the_right_nothing_is_done(served: Served, path: str) -> None:
    served.reviews.rights = set()
    status, body = await served.ask(path)
    assert status == 403
    assert b"user=jane" in body
    assert served.guest.heads == []


async def test_who_may_only_read_cannot_exec_by_a_get(served: Served) -> None:
    served.reviews.rights = {("get", "proxy")}
    assert (await served.ask(EXEC, **UPGRADE))[0] == 403
    assert served.guest.heads == []


async def test_headers_of_a_front_proxy_mean_nothing(served: Served) -> None:
    headers = {"X_Remote_User": "admin", "X_Remote_Group": "system:masters"}
    assert (await served.ask(LOGS, token=None, **headers))[0] == 401


async def test_a_certificate_of_the_clients_ca_is_a_credential(served: Served) -> None:
    served.client_ca.issue_cert(common_name="apiserver", organization_name="admins").configure_cert(served.tls)
    assert (await served.ask("/pods", token=None))[0] == 200
    status, body = await served.ask("/stats/summary", token=None)
    assert status == 403
    assert b"user=apiserver" in body


async def test_a_certificate_of_another_ca_gets_no_answer(served: Served) -> None:
    trustme.CA().issue_cert(common_name="apiserver").configure_cert(served.tls)
    with pytest.raises((OSError, IndexError)):  # an alert, or the end of the connection
        await served.ask("/pods")


async def test_only_http_1_is_offered(served: Served) -> None:
    served.tls.set_alpn_protocols(["h2", "http/1.1"])
    async with served.connected() as (_, writer):
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_what_is_no_tls_gets_no_answer_and_disturbs_nobody(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    await say(writer, b"GET /pods HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert not (await reader.read()).startswith(b"HTTP")
    writer.close()
    assert (await served.ask("/pods"))[0] == 200


async def test_when_the_api_server_cannot_be_asked_nothing_is_served(served: Served) -> None:
    served.reviews.down = True
    assert (await served.ask(LOGS))[0] == 500


async def test_a_pod_that_is_not_here_is_not_found(served: Served) -> None:
    assert (await served.ask("/containerLogs/default/other/main"))[0] == 404


async def test_logs_reach_the_client(served: Served) -> None:
    served.guest.answer = fine
    status, body = await served.ask(LOGS + "?tailLines=3")
    assert (status, body) == (200, b"hello")
    assert served.guest.heads[0].startswith(b"GET /containerLogs/default/web/main?tailLines=3 HTTP/1.1\r\n")


async def test_the_callers_credentials_never_reach_a_guest(served: Served) -> None:
    served.guest.answer = fine
    await served.ask(LOGS, Cookie="session=1", Impersonate_User="admin", X_Forwarded_For="10.0.0.9")
    head = served.guest.heads[0].lower()
    for secret in (b"authorization", b"good", b"cookie", b"impersonate", b"forwarded"):
        assert secret not in head


async def test_what_answers_with_another_certificate_is_sent_nothing(served: Served) -> None:
    served.directory.endpoint = replace(served.directory.endpoint, pin="sha256:00")
    status, body = await served.ask(LOGS)
    assert status == 502
    assert b"GuestIdentityMismatch" in body
    assert served.guest.heads == []


async def test_an_upgrade_passes_bytes_both_ways(served: Served) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nfirst")
        while data := await reader.read(100):
            await say(writer, data.upper())

    served.guest.answer = echo
    async with served.connected() as (reader, writer):
        lines = [f"POST {EXEC} HTTP/1.1", "Host: node", "Authorization: Bearer good", "Content-Length: 0"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in UPGRADE.items()]
        await say(writer, "\r\n".join([*lines, "", ""]).encode() + b"early")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"SPDY/3.1" in head
        assert await reader.readexactly(10) == b"firstEARLY"
        await say(writer, b"more")
        assert await reader.readexactly(4) == b"MORE"
    await served.guest.gone.wait()


@pytest.mark.parametrize("answer", [b"200 OK", b"302 Found\r\nLocation: http://169.254.169.254", b"403 Forbidden"])
async def test_a_guest_that_does_not_upgrade_gets_no_tunnel(served: Served, answer: bytes) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, b"HTTP/1.1 " + answer + b"\r\nContent-Length: 2\r\n\r\nno")

    served.guest.answer = refuse
    status, body = await served.ask(EXEC, method="POST", Content_Length="0", **UPGRADE)
    assert status in (200, 403, 502)
    assert b"169.254" not in body


async def test_exec_without_an_upgrade_is_a_bad_request(served: Served) -> None:
    assert (await served.ask(EXEC, method="POST", Content_Length="0"))[0] == 400


async def test_followed_logs_come_as_they_are_written_and_end_with_their_reader(served: Served) -> None:
    async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        await reader.read()  # until the other end goes

    served.guest.answer = follow
    async with served.connected() as (reader, writer):
        await say(writer, f"GET {LOGS}?follow=true HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\n\r\n".encode())
        await reader.readuntil(b"one\n")
        assert not served.guest.gone.is_set()
    async with asyncio.timeout(30):
        await served.guest.gone.wait()


async def test_pods_are_told_without_asking_a_guest(served: Served) -> None:
    status, body = await served.ask("/pods")
    assert status == 200
    assert [pod["metadata"]["name"] for pod in json.loads(body)["items"]] == ["web"]
    assert served.guest.heads == []


async def test_a_guest_that_fails_does_not_break_a_node_wide_answer(served: Served) -> None:
    async def broken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")

    served.guest.answer = broken
    served.reviews.rights |= {("get", "stats"), ("get", "metrics")}
    status, body = await served.ask("/stats/summary")
    assert (status, json.loads(body)["pods"]) == (200, [])
    assert (await served.ask("/metrics/resource"))[0] == 200


def answering(text: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, text)

    return answer


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", 404, b"none"),
        (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwhat\r\n0\r\n\r\n", 400, b"what"),
        (b"HTTP/1.1 503 Busy\r\n\r\nuntil the end", 503, b"until the end"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere\r\nContent-Length: 0\r\n\r\n", 502, b""),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 502, b""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n", 502, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", 502, None),
        (b"no http\r\n\r\n", 502, None),
        (b"", 502, None),
    ],
)
async def test_a_guests_refusal_is_told_and_its_nonsense_is_a_bad_gateway(
    served: Served, said: bytes, status: int, body: bytes | None
) -> None:
    served.guest.answer = answering(said)
    found = await served.ask(LOGS)
    assert found[0] == status
    assert body is None or found[1] == body


async def test_a_refusal_is_not_endless(served: Served) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, b"HTTP/1.1 500 No\r\n\r\n")
        while True:
            await say(writer, b"x" * 65536)

    served.guest.answer = endless
    status, body = await served.ask(EXEC, method="POST", **UPGRADE)
    assert (status, len(body)) == (500, 65536)
    async with asyncio.timeout(30):
        await served.guest.gone.wait()


async def test_a_guest_sets_no_headers_but_those_of_its_content(served: Served) -> None:
    headers = b"Set-Cookie: a=b\r\nLocation: x\r\nStrict-Transport-Security: x\r\nContent-Type: text/plain\r\n"
    served.guest.answer = answering(b"HTTP/1.1 200 OK\r\n" + headers + b"Content-Length: 2\r\n\r\nok")
    async with served.connected() as (reader, writer):
        await say(writer, f"GET {LOGS} HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert b"content-type: text/plain" in head
    for unwanted in (b"cookie", b"location", b"strict"):
        assert unwanted not in head


async def test_a_guest_that_cannot_be_reached_is_a_bad_gateway(served: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    served.directory.endpoint = replace(served.directory.endpoint, port=port)
    status, body = await served.ask(LOGS)
    assert status == 502
    assert b"GuestUnreachable" in body


async def test_a_connection_is_used_once(served: Served) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\n\r\n"
    async with served.connected() as (reader, writer):
        await say(writer, request + request)
        assert (await reader.read()).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\nAuthorization: Bearer bad\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET //[x HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\n\r\n", 404),
        (b"GET https://other/pods HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\n\r\n", 404),
        (b"GET /containerLogs/default/web/%0d%0a HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\n\r\n", 404),
        (b"CONNECT other:443 HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer good\r\n\r\n", 405),
        (b"PRI * HTTP/2.0\r\nAuthorization: Bearer good\r\n\r\nSM\r\n\r\n", 405),
        (b"GET /" + b"x" * 70000, 431),
    ],
)
async def test_every_request_gets_an_answer_and_no_guest_hears_of_a_bad_one(
    served: Served, text: bytes, status: int
) -> None:
    served.reviews.rights |= {("update", "proxy")}
    async with served.connected() as (reader, writer):
        await say(writer, text)
        assert int((await reader.read()).split()[1]) == status
    assert served.guest.heads == []


async def test_who_may_not_is_not_told_what_is_served(served: Served) -> None:
    served.reviews.rights = set()
    answers = {await served.ask(path) for path in (LOGS, "/containerLogs/default/other/main", "/configz")}
    assert len(answers) == 1


async def test_a_head_request_gets_no_body(served: Served) -> None:
    assert await served.ask("/pods", method="HEAD") == (200, b"")


async def test_what_is_asked_of_a_guest_in_the_nodes_name_is_merged(served: Served) -> None:
    text = b'pod_cpu_usage_seconds_total{namespace="default",pod="web"} 1\n'
    served.guest.answer = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    served.reviews.rights = {("get", "metrics")}
    status, body = await served.ask("/metrics/resource")
    assert status == 200
    assert b'\npod_cpu_usage_seconds_total{namespace="default",pod="web"} 1\n' in body
    assert b"\nresource_scrape_error 0\n" in body
    head = served.guest.heads[0].lower()
    assert head.startswith(b"get /metrics/resource http/1.1\r\n")
    assert b"authorization" not in head


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"no http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_a_guest_that_answers_nonsense_is_left_out(served: Served, said: bytes) -> None:
    served.guest.answer = answering(said)
    served.reviews.rights = {("get", "stats")}
    status, body = await served.ask("/stats/summary")
    assert (status, json.loads(body)["pods"]) == (200, [])


async def test_an_answer_to_the_node_is_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "LIMIT", 10)
    served.guest.answer = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b" " * 20)
    served.reviews.rights = {("get", "stats")}
    assert (await served.ask("/stats/summary"))[0] == 200


async def test_a_guest_that_does_not_answer_the_node_is_left_out_in_time(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    monkeypatch.setattr(fetch, "WITHIN", 0.2)
    served.guest.answer = silent
    served.reviews.rights = {("get", "stats")}
    assert (await served.ask("/stats/summary"))[0] == 200
