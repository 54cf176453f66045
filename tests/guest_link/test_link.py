"""The connection to a guest: certain who it is, complete after every connect, and not the guest's to break."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from provider.errors import GuestRefused
from provider.guest import credentials, frames, link
from provider.guest.dial import fingerprint
from provider.guest.link import GuestLink, LinkState, difference
from provider.relay import RelayReply, RelayRequest
from tests.builders import UID, make_identity, make_pod

NOW = datetime.datetime.now(datetime.UTC)


def config_map(name: str, **data: str) -> dict:
    metadata = {"namespace": "default", "name": name, "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@dataclass(slots=True)
class Agent:
    """A guest's agent that says what the test wants, one connection at a time."""

    port: int = 0
    pin: str = ""
    answer: dict[str, Any] = field(default_factory=lambda: {"type": "welcome", "podUID": UID})
    heard: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    connections: asyncio.Queue[asyncio.StreamWriter] = field(default_factory=asyncio.Queue)
    bytes_before_hello: int = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(Exception):
            while True:
                frame = await frames.read(reader)
                self.heard.put_nowait(frame)
                if frame["type"] == "hello":
                    writer.write(frames.encode(self.answer))
                    self.connections.put_nowait(writer)
        writer.close()

    async def next(self, *kinds: str) -> dict[str, Any]:
        """The next frame of one of these types."""
        async with asyncio.timeout(30):
            while True:
                frame = await self.heard.get()
                if frame["type"] in kinds:
                    return frame


@dataclass(slots=True)
class Linked:
    """A link to the agent, and what became of it."""

    agent: Agent
    link: GuestLink
    states: asyncio.Queue[LinkState]
    asked: asyncio.Queue[RelayRequest]
    may_answer: asyncio.Event

    async def until(self, state: LinkState) -> None:
        async with asyncio.timeout(30):
            while await self.states.get() is not state:
                pass


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    made = Agent()
    certificate = trustme.CA().issue_cert("guest")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.set_alpn_protocols([frames.ALPN])
    certificate.configure_cert(tls)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    made.pin = fingerprint(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode()))
    yield made
    server.close()


@pytest.fixture
def linked(agent: Agent) -> Linked:
    asked: asyncio.Queue[RelayRequest] = asyncio.Queue()
    may_answer = asyncio.Event()
    states: asyncio.Queue[LinkState] = asyncio.Queue()

    async def relay(request: RelayRequest) -> RelayReply:
        await may_answer.wait()
        asked.put_nowait(request)
        return RelayReply(200, {"kind": "Pod"})

    made = GuestLink(
        identity=make_identity(),
        clone_id="c0",
        address="127.0.0.1",
        port=agent.port,
        pin=agent.pin,
        credentials=credentials.load(credentials.new_ca("test", NOW), NOW),
        relay=relay,
        on_change=states.put_nowait,
        clock=lambda: 1234.5,
    )
    may_answer.set()
    return Linked(agent, made, states, asked, may_answer)


@pytest.fixture
async def running(linked: Linked) -> AsyncIterator[Linked]:
    task = asyncio.create_task(linked.link.run())
    yield linked
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_hello_says_who_is_meant_and_what_time_it_is(running: Linked) -> None:
    hello = await running.agent.next("hello")
    assert (hello["podUID"], hello["cloneId"], hello["time"]) == (UID, "c0", 1234.5)
    await running.until(LinkState.CONNECTED)


async def test_a_guest_gets_all_first_and_differences_then(running: Linked) -> None:
    first, second = config_map("a", x="1"), config_map("b")
    running.link.feed([first, make_pod()])
    assert (await running.agent.next("snapshot"))["objects"] == [first, make_pod()]
    changed = config_map("a", x="2")
    running.link.feed([changed, second, make_pod()])
    assert (await running.agent.next("apply", "remove"))["object"] == changed
    assert (await running.agent.next("apply", "remove"))["object"] == second
    running.link.feed([second, make_pod()])
    removed = await running.agent.next("apply", "remove")
    assert (removed["type"], removed["object"]["metadata"]["name"]) == ("remove", "a")


async def test_after_a_broken_connection_all_is_sent_again(running: Linked) -> None:
    running.link.feed([make_pod()])
    await running.agent.next("snapshot")
    (await running.agent.connections.get()).transport.abort()
    await running.until(LinkState.LOST)
    assert (await running.agent.next("snapshot"))["objects"] == [make_pod()]


async def test_what_answers_with_another_certificate_is_sent_nothing(agent: Agent, linked: Linked) -> None:
    linked.link._pin = "sha256:00"
    task = asyncio.create_task(linked.link.run())
    await linked.until(LinkState.LOST)
    task.cancel()
    assert agent.heard.empty()


async def test_a_guest_that_refuses_ends_the_link_for_good(agent: Agent, linked: Linked) -> None:
    agent.answer = {"type": "refused", "reason": "CloneOfClone", "message": "no"}
    with pytest.raises(GuestRefused, match="CloneOfClone"):
        await linked.link.run()
    assert linked.link.state is LinkState.REFUSED


async def test_a_welcome_of_another_pods_guest_is_none(agent: Agent, running: Linked) -> None:
    agent.answer = {"type": "welcome", "podUID": "another"}
    await running.until(LinkState.LOST)


async def test_requests_are_relayed_and_answered_by_their_number(running: Linked) -> None:
    writer = await running.agent.connections.get()
    request = {"type": "request", "id": 7, "verb": "patchStatus", "namespace": "default", "name": "web"}
    writer.write(frames.encode({**request, "contentType": "t", "body": {"status": {}}}))
    reply = await running.agent.next("reply")
    assert (reply["id"], reply["code"], reply["object"]) == (7, 200, {"kind": "Pod"})
    assert running.asked.get_nowait() == RelayRequest("patchStatus", "default", "web", "t", {"status": {}})


async def test_a_request_that_was_begun_is_carried_out_though_the_guest_goes(running: Linked) -> None:
    writer = await running.agent.connections.get()
    running.may_answer.clear()
    writer.write(frames.encode({"type": "request", "id": 1, "verb": "deletePod", "body": {}}))
    writer.write(frames.encode({"type": "ping"}))
    await running.agent.next("pong")  # so the request before it was taken
    writer.transport.abort()
    await running.until(LinkState.LOST)
    running.may_answer.set()
    async with asyncio.timeout(30):
        assert (await running.asked.get()).verb == "deletePod"


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x01{", b'\x00\x00\x00\x0d{"type": "?"}']
)
async def test_garbage_ends_the_connection_and_the_next_one_works(running: Linked, garbage: bytes) -> None:
    (await running.agent.connections.get()).write(garbage)
    await running.until(LinkState.LOST)
    await running.until(LinkState.CONNECTED)


async def test_a_guest_that_falls_silent_is_unreachable(
    agent: Agent, linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENT", 0.2)
    task = asyncio.create_task(linked.link.run())
    await linked.until(LinkState.CONNECTED)
    await linked.until(LinkState.LOST)
    task.cancel()


def test_a_namesake_with_another_uid_is_removed_before_the_new_one_comes() -> None:
    old = config_map("a")
    new = {**old, "metadata": {**old["metadata"], "uid": "new"}}
    key = ("v1", "ConfigMap", "default", "a")
    assert [frame["type"] for frame in difference({key: old}, {key: new})] == ["remove", "apply"]


def test_credentials_need_a_whole_ca() -> None:
    ca = credentials.new_ca("test", NOW)
    with pytest.raises(ValueError, match=r"ca\.key"):
        credentials.load({"ca.crt": ca["ca.crt"]}, NOW)


def test_a_frame_over_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="limit"):
        frames.encode({"x": "y" * frames.LIMIT})
