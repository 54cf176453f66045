"""What the kubelet is answered, over HTTP on loopback."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from vch_agent import api_server
from vch_agent.api_server import APIServer, bearer, merge
from vch_agent.http_server import HTTPServer
from vch_agent.pod_objects import PodObjects
from vch_agent.relay import Frame, Relay
from vch_agent.store import Store

from tests.guest import build


class Kubelet:
    """A client that speaks HTTP/1.1 the way client-go does."""

    def __init__(self, port: int, authorization: str = "Bearer secret") -> None:
        self.port = port
        self.authorization = authorization
        self.open: list[asyncio.StreamWriter] = []
        """Kept: a writer that is collected hangs up."""

    async def send(self, raw: bytes) -> tuple[int, dict[str, str], asyncio.StreamReader]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.open.append(writer)
        writer.write(raw)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), headers, reader

    async def ask(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> tuple[int, Any, dict[str, str]]:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {self.authorization}\r\nContent-Type: {kind}\r\n"
        code, headers, reader = await self.send(head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        return code, json.loads(await reader.readexactly(int(headers["content-length"]))), headers

    async def watch(self, path: str) -> AsyncGenerator[dict[str, Any], None]:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {self.authorization}\r\n\r\n"
        _, headers, reader = await self.send(head.encode())
        assert headers["transfer-encoding"] == "chunked"
        while size := int(await reader.readline(), 16):
            yield json.loads(await reader.readexactly(size))
            await reader.readexactly(2)


class Guest:
    """An API server with its store and relay."""

    def __init__(self) -> None:
        self.objects = PodObjects(Store(), build.no_rules)
        self.relay = Relay()
        self.api = APIServer(self.objects, self.relay)
        self.server = HTTPServer(self.api.handle, bearer("secret"))
        self.relayed: list[Frame] = []

    def answer(self, code: int, value: Any = None) -> None:
        """Connect a provider that answers everything so."""

        async def send(frame: Frame) -> None:
            self.relayed.append(frame)
            self.relay.reply(frame["id"], code, frame["body"] if value is None else value)

        self.relay.attach(send)


@pytest.fixture
async def guest(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Guest]:
    monkeypatch.setattr(api_server, "_HOLD", 0.05)
    monkeypatch.setattr("vch_agent.relay._RECONNECTS_WITHIN", 0.05)
    guest = Guest()
    await guest.server.start("127.0.0.1", 0)
    yield guest
    await guest.server.close()


@pytest.fixture
def kubelet(guest: Guest) -> Kubelet:
    return Kubelet(guest.server.port)


PODS = "/api/v1/pods?fieldSelector=spec.nodeName%3Dvch-0"
POD = "/api/v1/namespaces/default/pods/web"


@pytest.mark.parametrize("path", [PODS, POD, "/api/v1/namespaces/default/secrets?watch=true", "/api/v1/services"])
async def test_unknown_is_503_and_never_empty(guest: Guest, kubelet: Kubelet, path: str) -> None:
    code, value, headers = await kubelet.ask("GET", path)
    assert (code, value["reason"], headers["retry-after"]) == (503, "ServiceUnavailable", "1")


async def test_a_request_that_came_too_early_is_answered_when_the_snapshot_comes(
    guest: Guest, kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_server, "_HOLD", 10)
    asking = asyncio.create_task(kubelet.ask("GET", PODS))
    await asyncio.sleep(0)
    await guest.objects.snapshot([build.pod()])
    code, value, _ = await asking
    assert (code, len(value["items"])) == (200, 1)


async def test_the_warm_parents_node_lease_and_csinode_are_served_before_anything_is_known(
    guest: Guest, kubelet: Kubelet
) -> None:
    guest.objects.own_node("vch-0", "169.254.1.1")
    assert (await kubelet.ask("GET", "/api/v1/nodes/vch-0"))[0] == 200
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    assert (await kubelet.ask("GET", f"{leases}/vch-0"))[0] == 404
    code, lease, _ = await kubelet.ask("POST", leases, {"metadata": {"name": "vch-0"}, "spec": {"renewTime": "1"}})
    assert (code, lease["kind"]) == (201, "Lease")
    assert (await kubelet.ask("POST", leases, {"metadata": {"name": "vch-0"}}))[0] == 409
    lease["spec"]["renewTime"] = "2"
    assert (await kubelet.ask("PUT", f"{leases}/vch-0", lease))[1]["spec"] == {"renewTime": "2"}
    csi = "/apis/storage.k8s.io/v1/csinodes"
    assert (await kubelet.ask("PATCH", f"{csi}/vch-0", {}))[0] == 404
    await kubelet.ask("POST", csi, {"metadata": {"name": "vch-0"}})
    patch = {"metadata": {"annotations": {"a": "b"}}}
    assert (await kubelet.ask("PATCH", f"{csi}/vch-0", patch))[1]["metadata"]["annotations"] == {"a": "b"}


async def test_a_watch_list_ends_its_initial_events_with_the_bookmark(guest: Guest, kubelet: Kubelet) -> None:
    await guest.objects.snapshot([build.pod(7)])
    events = kubelet.watch(f"{PODS}&watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
    added, bookmark = await anext(events), await anext(events)
    assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "web")
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"] == {
        "resourceVersion": "7",
        "annotations": {"k8s.io/initial-events-end": "true"},
    }
    guest.objects.apply(build.pod(8))
    assert (await anext(events))["object"]["metadata"]["resourceVersion"] == "8"
    await events.aclose()


async def test_a_watch_resumed_across_a_restart_is_told_to_list_again(guest: Guest, kubelet: Kubelet) -> None:
    await guest.objects.restore([build.pod(7)])
    (event,) = [event async for event in kubelet.watch(f"{PODS}&watch=true&resourceVersion=7")]
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_a_watcher_that_hangs_up_is_forgotten(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.objects.declare()
    forgotten = asyncio.Event()
    monkeypatch.setattr(guest.objects.store, "unwatch", lambda *_: forgotten.set())
    reader, writer = await asyncio.open_connection("127.0.0.1", guest.server.port)
    writer.write(f"GET {PODS}&watch=true HTTP/1.1\r\nAuthorization: Bearer secret\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    assert guest.api.pods_watched()
    writer.close()
    await asyncio.wait_for(forgotten.wait(), 5)


@pytest.mark.parametrize(
    ("method", "path", "verb", "name"),
    [
        ("PATCH", f"{POD}/status", "patchStatus", "web"),
        ("DELETE", POD, "deletePod", "web"),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", "createToken", "robot"),
        ("PATCH", "/api/v1/namespaces/default/events/web.1", "patchEvent", "web.1"),
    ],
)
async def test_what_the_cluster_must_answer_is_relayed(
    guest: Guest, kubelet: Kubelet, method: str, path: str, verb: str, name: str
) -> None:
    await guest.objects.snapshot([build.pod()])
    guest.answer(200)
    kind = "application/strategic-merge-patch+json"
    code, _, _ = await kubelet.ask(method, path, {"metadata": {"uid": "uid-1", "name": "web"}}, kind)
    assert code == 200
    (frame,) = guest.relayed
    assert (frame["verb"], frame["namespace"], frame["name"], frame["contentType"]) == (verb, "default", name, kind)


async def test_what_has_to_be_given_back_is_before_the_pod_is_deleted(guest: Guest, kubelet: Kubelet) -> None:
    relayed: list[int] = []

    async def ending() -> None:
        relayed.append(len(guest.relayed))

    guest.api.ending = ending
    await guest.objects.snapshot([build.pod()])
    guest.answer(200)
    await kubelet.ask("PATCH", f"{POD}/status", {"status": {}})
    await kubelet.ask("DELETE", POD, {})
    assert (relayed, len(guest.relayed)) == ([1], 2)


async def test_the_clusters_pod_replaces_ours_after_a_status_patch(guest: Guest, kubelet: Kubelet) -> None:
    await guest.objects.snapshot([build.pod(10)])
    guest.answer(200, {**build.pod(11), "status": {"phase": "Running"}})
    await kubelet.ask("PATCH", f"{POD}/status", {"status": {}})
    _, value, _ = await kubelet.ask("GET", POD)
    assert (value["status"], value["spec"]) == ({"phase": "Running"}, {"nodeName": "vch-0"})


async def test_the_clusters_refusal_reaches_the_kubelet_as_it_is(guest: Guest, kubelet: Kubelet) -> None:
    guest.answer(409, {"kind": "Status", "code": 409, "reason": "Conflict"})
    code, value, _ = await kubelet.ask("DELETE", POD, {})
    assert (code, value["reason"]) == (409, "Conflict")


async def test_without_a_provider_the_kubelet_is_told_to_try_again(guest: Guest, kubelet: Kubelet) -> None:
    code, _, headers = await kubelet.ask("PATCH", f"{POD}/status", {})
    assert (code, headers["retry-after"]) == (503, "1")


async def test_what_concerns_the_guests_own_node_stays_inside(guest: Guest, kubelet: Kubelet) -> None:
    guest.answer(200)
    guest.objects.own_node("vch-0", "169.254.1.1")
    event = {"metadata": {"name": "vch-0.1"}, "involvedObject": {"kind": "Node"}}
    assert (await kubelet.ask("POST", "/api/v1/namespaces/default/events", event))[0] == 201
    assert (await kubelet.ask("PATCH", "/api/v1/namespaces/default/events/vch-0.1", {"count": 2}))[0] == 200
    said = {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.37.2"}}
    code, node, _ = await kubelet.ask("PATCH", "/api/v1/nodes/vch-0/status", {"status": said})
    assert (code, node["kind"]) == (200, "Node")
    assert guest.relayed == []
    assert (guest.objects.ready, guest.api.kubelet_version) == (True, "v1.37.2")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/apps/v1/deployments", 404),
        ("GET", "/api/v1/namespaces/default/pods/absent", 404),
        ("GET", "/nonsense", 404),
        ("POST", "/api/v1/namespaces/default/pods", 405),
        ("DELETE", "/api/v1/namespaces/default/secrets/a", 405),
        ("GET", "/api/v1/pods?fieldSelector=status.phase%3DRunning", 400),
        ("GET", "/version", 200),
        ("GET", "/api", 200),
        ("GET", "/apis", 200),
        ("GET", "/apis/storage.k8s.io/v1", 200),
        ("GET", "/apis/storage.k8s.io/v1/csidrivers", 200),
        ("DELETE", "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=x", 200),
    ],
)
async def test_other_paths(guest: Guest, kubelet: Kubelet, method: str, path: str, code: int) -> None:
    guest.objects.declare()
    answered, value, _ = await kubelet.ask(method, path)
    assert answered == code
    if code >= 400:
        assert (value["kind"], value["code"]) == ("Status", code)


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic " + base64.b64encode(b"kubelet:wrong").decode()])
async def test_without_the_token_nothing_is_answered(guest: Guest, authorization: str) -> None:
    code, value, _ = await Kubelet(guest.server.port, authorization).ask("GET", PODS)
    assert (code, value["reason"]) == (401, "Unauthorized")


async def test_the_token_is_taken_as_the_password_of_a_url(guest: Guest) -> None:
    basic = "Basic " + base64.b64encode(b"kubelet:secret").decode()
    assert (await Kubelet(guest.server.port, basic).ask("GET", "/version"))[0] == 200


async def test_a_clone_of_a_clone_answers_nothing(guest: Guest, kubelet: Kubelet) -> None:
    await guest.objects.snapshot([build.pod()])
    guest.api.refused = True
    assert (await kubelet.ask("GET", PODS))[0] == 503
    assert (await kubelet.ask("GET", "/api/v1/nodes/vch-0"))[0] == 503


AUTH = b"Authorization: Bearer secret\r\n"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"GET /version HTTP/1.1\r\n" + AUTH + b"X: " + b"a" * 40000 + b"\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nmalformed\r\n\r\n", 400),
        (b"POST /version HTTP/1.1\r\n" + AUTH + b"Content-Length: 99999999\r\n\r\n", 413),
        (b"POST /version HTTP/1.1\r\n" + AUTH + b"Content-Length: x\r\n\r\n", 400),
        (b"POST /version HTTP/1.1\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /version HTTP/1.1\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
        (b"POST /version HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 401),  # before the body is read
    ],
)
async def test_garbage_is_bounded(guest: Guest, kubelet: Kubelet, raw: bytes, code: int) -> None:
    assert (await kubelet.send(raw))[0] == code


async def test_a_connection_is_kept_and_a_chunked_body_understood(guest: Guest) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guest.server.port)
    body = b'{"involvedObject": {"kind": "Node"}}'
    chunks = b"%x\r\n%s\r\n1\r\n \r\n0\r\n\r\n" % (len(body), body)
    head = b"POST /api/v1/namespaces/a/events HTTP/1.1\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\n"
    for _ in range(2):
        writer.write(head + chunks)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 201")
        await reader.readexactly(len(b'{"involvedObject":{"kind":"Node"}}'))
    writer.close()


def test_merge_patch() -> None:
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}, "e": [1]}) == {"a": {"c": 2, "d": 3}, "e": [1]}
