"""The kubelet API: deny by default, pass bytes untouched, and trust a guest with nothing."""

import asyncio
import json
from dataclasses import replace

import pytest

from tests.kubelet.conftest import Served

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
