"""The provider's connection: frames, hello, objects in, requests out."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from vch_agent import frames
from vch_agent.feed import Feed, Refusal, Welcome
from vch_agent.pod_objects import PodObjects
from vch_agent.relay import Relay, Unavailable, Verb
from vch_agent.resources import PODS
from vch_agent.service_routes import ServiceRoutes
from vch_agent.store import Store

from tests.guest import build
from tests.guest.build import Provider


class Guest:
    """A feed on a plain socket."""

    def __init__(self) -> None:
        self.objects = PodObjects(Store(), build.no_rules)
        self.relay = Relay()
        self.refusal: Refusal | None = None
        self.routes = ServiceRoutes()
        self.feed = Feed(self.objects, self.routes, self.relay, self.check)
        self.ended: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.port = 0

    async def check(self, hello: dict[str, Any]) -> Welcome:
        if self.refusal is not None:
            raise self.refusal
        return Welcome("uid-1", "v1.37.2", "machine", "boot")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.feed.serve(reader, writer)
            self.ended.put_nowait(None)
        except (Exception, asyncio.CancelledError) as error:
            self.ended.put_nowait(error)
        finally:
            writer.close()

    async def connect(self) -> Provider:
        return Provider(*await asyncio.open_connection("127.0.0.1", self.port))


@pytest.fixture
async def guest() -> AsyncIterator[Guest]:
    guest = Guest()
    server = await asyncio.start_server(guest.serve, "127.0.0.1", 0)
    guest.port = server.sockets[0].getsockname()[1]
    yield guest
    server.close()


async def test_welcome_says_whether_there_is_a_snapshot_from_before(guest: Guest) -> None:
    provider = await guest.connect()
    assert await provider.hello() == {
        "type": "welcome",
        "protocol": 1,
        "podUID": "uid-1",
        "agentVersion": "0.1.0",
        "kubeletVersion": "v1.37.2",
        "resumed": False,
        "machineId": "machine",
        "bootId": "boot",
    }
    provider.feed(build.pod())
    provider.send(type="ping")
    assert await provider.receive() == {"type": "pong"}
    assert (await (await guest.connect()).hello())["resumed"] is True


async def test_objects_are_applied_and_removed_in_order(guest: Guest) -> None:
    provider = await guest.connect()
    await provider.hello()
    provider.feed(build.pod(1))
    provider.send(type="apply", object=build.pod(2))
    provider.send(type="ping")
    await provider.receive()
    assert [pod["metadata"]["resourceVersion"] for pod in guest.objects.store.all(PODS)] == ["2"]
    provider.send(type="remove", object=build.pod(2))
    provider.send(type="ping")
    await provider.receive()
    assert guest.objects.store.all(PODS) == ()


async def test_a_refused_provider_is_told_why(guest: Guest) -> None:
    guest.refusal = Refusal("CloneOfClone", "this machine is clone a")
    provider = await guest.connect()
    told = await provider.hello()
    assert told == {"type": "refused", "reason": "CloneOfClone", "message": "this machine is clone a"}
    assert await provider.ended()
    assert not guest.feed.connected


async def test_requests_are_answered_by_number(guest: Guest) -> None:
    provider = await guest.connect()
    await provider.hello()
    asking = [
        asyncio.create_task(guest.relay.request(Verb.CREATE_EVENT, "default", name, "application/json", {}))
        for name in ("one", "two")
    ]
    one, two = await provider.receive(), await provider.receive()
    assert [(each["type"], each["verb"], each["name"]) for each in (one, two)] == [
        ("request", "createEvent", "one"),
        ("request", "createEvent", "two"),
    ]
    provider.send(type="reply", id=two["id"], code=201, object={"n": 2})
    provider.send(type="reply", id=999, code=200, object={})  # nobody waits for it
    provider.send(type="reply", id=one["id"], code=409, object={"n": 1})
    assert await asyncio.gather(*asking) == [(409, {"n": 1}), (201, {"n": 2})]


async def test_a_request_in_flight_ends_with_its_connection(guest: Guest) -> None:
    provider = await guest.connect()
    await provider.hello()
    asking = asyncio.create_task(guest.relay.request(Verb.DELETE_POD, "default", "web", "", {}))
    await provider.receive()
    provider.writer.close()
    with pytest.raises(Unavailable):
        await asking


async def test_a_request_waits_for_a_provider_that_comes_back(guest: Guest) -> None:
    asking = asyncio.create_task(guest.relay.request(Verb.DELETE_POD, "default", "web", "", {}))
    provider = await guest.connect()
    await provider.hello()
    request = await provider.receive()
    provider.send(type="reply", id=request["id"], code=200, object={})
    assert await asking == (200, {})


async def test_the_newest_connection_wins(guest: Guest) -> None:
    old, new = await guest.connect(), await guest.connect()
    await old.hello()
    await new.hello()
    assert await old.ended()
    asking = asyncio.create_task(guest.relay.request(Verb.DELETE_POD, "default", "web", "", {}))
    request = await new.receive()
    new.send(type="reply", id=request["id"], code=200, object={})
    assert await asking == (200, {})


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">I", frames.LIMIT + 1),
        struct.pack(">I", 3) + b"abc",
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 2) + b"{}",
        struct.pack(">I", 15) + b'{"type":"ping"}',  # before hello
        struct.pack(">I", 31) + b'{"type":"hello","protocol": 2 }',
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_who_does_not_speak_the_protocol_is_cut_off(guest: Guest, raw: bytes) -> None:
    provider = await guest.connect()
    provider.writer.write(raw)
    assert await provider.ended()
    assert isinstance(await guest.ended.get(), frames.BadFrame)


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "surprise"},
        {"type": "snapshot"},
        {"type": "apply", "object": {"kind": "Secret"}},
        {"type": "reply", "id": 1, "code": "ok"},
    ],
)
async def test_a_wrong_frame_ends_the_connection(guest: Guest, frame: dict[str, Any]) -> None:
    provider = await guest.connect()
    await provider.hello()
    provider.send(**frame)
    assert await provider.ended()
    assert isinstance(await guest.ended.get(), frames.BadFrame)


async def test_a_provider_that_falls_silent_is_given_up(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vch_agent.feed._SILENT", 0.05)
    provider = await guest.connect()
    await provider.hello()
    assert await provider.ended()
    assert isinstance(await guest.ended.get(), TimeoutError)
    assert not guest.feed.connected


def test_a_frame_over_the_limit_is_not_sent() -> None:
    with pytest.raises(frames.BadFrame):
        frames.encode({"type": "request", "body": "x" * frames.LIMIT})


def test_a_frame_is_length_and_json() -> None:
    data = frames.encode({"type": "pong"})
    assert (struct.unpack(">I", data[:4])[0], json.loads(data[4:])) == (len(data) - 4, {"type": "pong"})
