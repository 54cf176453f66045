"""What is written through a fenced view is sent only while the fence is open, at the instant of sending."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio import client

from provider import errors
from provider.fence import Fence
from provider.kube import client as kube_client
from provider.kube.client import KubeClient
from provider.kube.operator_objects import FINALIZER, OperatorObjects
from provider.tenure import Terms

REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"
VCH = "/apis/vch.dev/v1alpha1/virtualcontainerhosts/vch"


class Server:
    """An API server that answers with what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.bodies: list[dict] = []
        self.answer: dict = {}
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        self.reached.set()
        self.agents.add(request.headers["User-Agent"])
        if request.can_read_body:
            self.bodies.append(await request.json())
        await self.open.wait()
        return web.json_response(self.answer)


@pytest.fixture(name="server")
async def _server() -> Server:
    return Server()


@pytest.fixture(name="kube")
async def _kube(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeClient]:
    monkeypatch.setattr(kube_client, "_CALLS", 1)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    kube = KubeClient(client.Configuration(host=f"http://{host}:{port}"), "vch/me")
    yield kube
    server.open.set()
    await kube.close()
    await runner.cleanup()


def make_fence(*, shut: bool = False) -> Fence:
    fence = Fence("vch", Terms(), lambda: 0.0)
    if not shut:
        fence.renewed(0.0)
    return fence


async def test_an_open_fence_lets_everything_through(server: Server, kube: KubeClient) -> None:
    await kube.fenced(make_fence()).request("PATCH", "/api/v1/nodes/vch", body={})
    assert server.asked == ["PATCH /api/v1/nodes/vch"]
    assert server.agents == {"vch/me"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_shut_fence_lets_no_write_through(server: Server, kube: KubeClient, method: str) -> None:
    with pytest.raises(errors.LeaseLost):
        await kube.fenced(make_fence(shut=True)).request(method, "/api/v1/nodes/vch", body={})
    assert server.asked == []
    await kube.request(method, "/api/v1/nodes/vch", body={})
    assert server.asked == [f"{method} /api/v1/nodes/vch"], "what is not a virtual node's is not fenced"


async def test_questions_are_no_writes(server: Server, kube: KubeClient) -> None:
    shut = kube.fenced(make_fence(shut=True))
    await shut.request("GET", "/api/v1/nodes/vch")
    await shut.request("POST", REVIEW, body={})
    assert server.asked == ["GET /api/v1/nodes/vch", f"POST {REVIEW}"]


async def test_a_write_that_waited_for_its_connection_is_not_sent_late(server: Server, kube: KubeClient) -> None:
    server.open.clear()
    fence = make_fence()
    first = asyncio.create_task(kube.request("GET", "/api/v1/slow"))
    await server.reached.wait()
    late = asyncio.create_task(kube.fenced(fence).request("PATCH", "/api/v1/late", body={}))
    await asyncio.sleep(0.05)
    fence.close()
    server.open.set()
    await first
    with pytest.raises(errors.LeaseLost):
        await late
    assert server.asked == ["GET /api/v1/slow"]


def make_vch(**meta: object) -> dict:
    return {"metadata": {"name": "vch", "uid": "u", "resourceVersion": "7", **meta}}


@pytest.mark.parametrize(
    ("vch", "finalizers"),
    [
        (make_vch(), [FINALIZER]),
        (make_vch(finalizers=["other"]), ["other", FINALIZER]),
        (make_vch(finalizers=[FINALIZER]), None),
        (make_vch(deletionTimestamp="2026-01-01T00:00:00Z"), None),
        (make_vch(uid="another"), None),
    ],
)
async def test_a_vch_is_held_by_a_finalizer(
    server: Server, kube: KubeClient, vch: dict, finalizers: list[str] | None
) -> None:
    server.answer = vch
    await OperatorObjects(kube, "vch-system").hold_vch("vch", "u")
    assert server.asked == [f"GET {VCH}", *([f"PATCH {VCH}"] if finalizers else [])]
    wanted = {"uid": "u", "resourceVersion": "7", "finalizers": finalizers}
    assert server.bodies == ([{"metadata": wanted}] if finalizers else [])


@pytest.mark.parametrize(
    ("vch", "finalizers"),
    [
        (make_vch(finalizers=["other", FINALIZER], deletionTimestamp="x"), ["other"]),
        (make_vch(finalizers=[FINALIZER], deletionTimestamp="x"), []),
        (make_vch(finalizers=["other"]), None),
    ],
)
async def test_a_vch_may_go(server: Server, kube: KubeClient, vch: dict, finalizers: list[str] | None) -> None:
    server.answer = vch
    await OperatorObjects(kube, "vch-system").let_vch_go("vch", "u")
    sent = [body["metadata"]["finalizers"] for body in server.bodies]
    assert sent == ([] if finalizers is None else [finalizers])
