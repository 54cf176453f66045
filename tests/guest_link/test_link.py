"""The connection to a guest: certain who it is, complete after every connect, and not the guest's to break."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
import trustme

from provider import service_feed
from provider.errors import GuestRefused
from provider.guest import connection, credentials, frames, link
from provider.guest.dial import fingerprint
from provider.guest.link import GuestLink, LinkState
from provider.guest.object_set import difference
from provider.guest.routes import RouteTable
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
    routes: RouteTable

    async def until(self, state: LinkState) -> None:
        async with asyncio.timeout(30):
            while await self.states.get() is not state:
                pass


def known_routes() -> RouteTable:
    """Of a cluster without Services."""
    table = RouteTable()
    for kind in service_feed.KINDS:
        table.replace(kind.name, {})
    return table


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
    routes = known_routes()
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
        routes=routes,
        scope=service_feed.ROUTED,
    )
    may_answer.set()
    return Linked(agent, made, states, asked, may_answer, routes)


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


async def test_a_guest_is_told_of_services_and_of_their_changes(
    running: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "ROUTES_APART", 0.01)
    told = await running.agent.next("routes")
    assert (told["apply"], told["first"], told["last"]) == ([], True, True)
    running.routes.change(service_feed.Key("Service", "default", "web"), b'{"kind":"Service"}')
    assert (await running.agent.next("routes"))["apply"] == [{"kind": "Service"}]
    (await running.agent.connections.get()).transport.abort()
    again = await running.agent.next("routes")
    assert (again["apply"], again["first"], again["last"]) == ([{"kind": "Service"}], True, True)


async def test_services_come_before_a_pods_first_objects(running: Linked) -> None:
    running.link.feed([make_pod()])
    assert (await running.agent.next("routes", "snapshot"))["type"] == "routes"
    assert (await running.agent.next("routes", "snapshot"))["type"] == "snapshot"


async def test_a_pod_waits_for_services_that_cannot_be_listed_and_that_is_said(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "STARVED", 0.01)
    linked.link._routes = table = RouteTable()
    linked.link.feed([make_pod()])
    task = asyncio.create_task(linked.link.run())
    async with asyncio.timeout(30):
        await linked.link.starved()
    assert [linked.agent.heard.get_nowait()["type"] for _ in range(linked.agent.heard.qsize())] == ["hello"]
    for kind in service_feed.KINDS:
        table.replace(kind.name, {})
    await linked.agent.next("snapshot")
    task.cancel()


async def test_a_pod_that_runs_is_told_that_it_is_deleted_though_services_cannot_be_listed(
    agent: Agent, linked: Linked
) -> None:
    agent.answer["resumed"] = True
    linked.link._routes = RouteTable()
    linked.link.feed([make_pod()])
    task = asyncio.create_task(linked.link.run())
    assert (await agent.next("routes", "snapshot"))["type"] == "snapshot"
    task.cancel()


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


def request(number: int, **fields: Any) -> bytes:
    return frames.encode({"type": "request", "id": number, "verb": "patchStatus", "namespace": "default", **fields})


async def test_a_request_that_takes_long_holds_up_neither_others_nor_objects(running: Linked) -> None:
    writer = await running.agent.connections.get()
    running.may_answer.clear()
    writer.write(request(1, name="slow") + request(2, name="slow too") + frames.encode({"type": "ping"}))
    await running.agent.next("pong")
    running.link.feed([make_pod()])
    await running.agent.next("snapshot")
    assert running.asked.empty()
    running.may_answer.set()
    assert {(await running.agent.next("reply"))["id"] for _ in range(2)} == {1, 2}


async def test_so_many_requests_are_carried_out_at_a_time_and_no_more(
    running: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way: set[str] = set()
    full, go_on = asyncio.Event(), asyncio.Event()

    async def relay(asked: RelayRequest) -> RelayReply:
        under_way.add(asked.name)
        if len(under_way) == link._IN_FLIGHT:
            full.set()
        await go_on.wait()
        return RelayReply(200, {})

    monkeypatch.setattr(running.link, "_relay", relay)
    writer = await running.agent.connections.get()
    for number in range(link._IN_FLIGHT + 8):
        writer.write(request(number, name=str(number)))
    async with asyncio.timeout(30):
        await full.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(under_way) == link._IN_FLIGHT
    go_on.set()
    answered = {(await running.agent.next("reply"))["id"] for _ in range(link._IN_FLIGHT + 8)}
    assert answered == set(range(link._IN_FLIGHT + 8))


@pytest.mark.parametrize("body", [None, [], "x", 5])
async def test_a_request_of_any_shape_is_handed_on_as_text_and_an_object(running: Linked, body: Any) -> None:
    writer = await running.agent.connections.get()
    writer.write(frames.encode({"type": "request", "id": ["odd"], "verb": 5, "name": {}, "body": body}))
    reply = await running.agent.next("reply")
    assert (reply["id"], reply["code"]) == (["odd"], 200)
    assert running.asked.get_nowait() == RelayRequest("5", "None", "{}", "", {})


async def test_a_guest_that_was_given_nothing_yet_gets_no_snapshot(running: Linked) -> None:
    await running.until(LinkState.CONNECTED)
    writer = await running.agent.connections.get()
    writer.write(frames.encode({"type": "ping"}))
    assert (await running.agent.next("snapshot", "apply", "remove", "pong"))["type"] == "pong"


async def test_what_is_fed_while_nobody_is_connected_comes_with_the_next_snapshot(linked: Linked) -> None:
    linked.link.feed([config_map("old")])
    linked.link.feed([config_map("b"), make_pod(), config_map("a")])
    task = asyncio.create_task(linked.link.run())
    assert (await linked.agent.next("snapshot"))["objects"] == [config_map("b"), make_pod(), config_map("a")]
    task.cancel()


async def test_the_same_set_again_sends_nothing(running: Linked) -> None:
    running.link.feed([make_pod()])
    await running.agent.next("snapshot")
    running.link.feed([make_pod()])
    running.link.feed([make_pod(), config_map("a")])
    assert (await running.agent.next("apply", "remove", "snapshot"))["object"] == config_map("a")


async def test_what_was_lost_with_a_connection_is_in_the_next_snapshot(running: Linked) -> None:
    running.link.feed([make_pod(), config_map("a")])
    await running.agent.next("snapshot")
    (await running.agent.connections.get()).transport.abort()
    running.link.feed([make_pod()])
    async with asyncio.timeout(30):
        while (await running.agent.next("snapshot"))["objects"] != [make_pod()]:
            pass


async def test_a_quiet_guest_is_pinged(agent: Agent, linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_EVERY", 0.01)
    task = asyncio.create_task(linked.link.run())
    for _ in range(3):
        await agent.next("ping")
    task.cancel()


async def test_a_guest_that_answers_pings_is_kept(
    agent: Agent, linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PING_EVERY", 0.05)
    monkeypatch.setattr(connection, "SILENT", 1.0)
    task = asyncio.create_task(linked.link.run())
    await linked.until(LinkState.CONNECTED)
    writer = await agent.connections.get()
    for _ in range(30):
        await agent.next("ping")
        writer.write(frames.encode({"type": "pong"}))
    assert linked.link.state is LinkState.CONNECTED
    task.cancel()


async def test_a_guest_may_refuse_in_the_middle(linked: Linked) -> None:
    task = asyncio.create_task(linked.link.run())
    writer = await linked.agent.connections.get()
    writer.write(frames.encode({"type": "refused", "reason": "CloneOfClone", "message": "no"}))
    with pytest.raises(GuestRefused, match="CloneOfClone"):
        await task
    assert linked.link.state is LinkState.REFUSED


async def test_what_a_guest_says_in_refusing_is_bounded(agent: Agent, linked: Linked) -> None:
    agent.answer = {"type": "refused", "reason": "x" * 100_000, "message": "y" * 100_000}
    with pytest.raises(GuestRefused) as refused:
        await linked.link.run()
    assert len(str(refused.value)) < 1000


async def test_nonsense_is_not_repeated_at_length(running: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as logs:
        monkeypatch.setattr(running.link, "_log", structlog.get_logger())
        (await running.agent.connections.get()).write(frames.encode({"type": "x" * 100_000}))
        await running.until(LinkState.LOST)
    assert max(len(str(line)) for line in logs) < 1000


async def test_while_nobody_listens_the_link_keeps_trying(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_FIRST_RETRY", 0.01)
    monkeypatch.setattr(link, "_LAST_RETRY", 0.02)
    port, linked.link._port = linked.link._port, 1
    task = asyncio.create_task(linked.link.run())
    await linked.until(LinkState.LOST)
    linked.link._port = port
    await linked.until(LinkState.CONNECTED)
    task.cancel()


async def test_a_state_is_told_once(running: Linked) -> None:
    told = []
    for _ in range(2):
        (await running.agent.connections.get()).transport.abort()
        told += [await running.states.get(), await running.states.get()]
    assert told == [LinkState.CONNECTED, LinkState.LOST] * 2


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
    monkeypatch.setattr(connection, "SILENT", 0.2)
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
