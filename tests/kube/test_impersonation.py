"""Acting as a virtual node: the group is told where the API server wants it, and left out where it gives it itself."""

from collections.abc import AsyncIterator, Mapping

import pytest
from aiohttp import web
from kubernetes.aio import client

from provider.kube.client import KubeClient, as_node


class Server:
    """Remembers the headers of the last request."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.headers = request.headers
        return web.json_response({})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    application = web.Application()
    application.add_routes([web.get("/{rest:.*}", server.answer)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


@pytest.mark.parametrize(("constrained", "group"), [(False, "system:nodes"), (True, None)])
async def test_the_group_is_told_only_to_an_api_server_that_wants_it(
    server: Server, constrained: bool, group: str | None
) -> None:
    configuration = client.Configuration()
    configuration.host = server.url
    kube = KubeClient(configuration, constrained=constrained)
    try:
        await kube.request("GET", "/api/v1/secrets", headers=as_node("vch-1"))
    finally:
        await kube.close()
    assert server.headers["Impersonate-User"] == "system:node:vch-1"
    assert server.headers.get("Impersonate-Group") == group
