"""Probes: alive while the loop runs, ready when there is something to be ready for and the API server answers."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from provider import errors
from provider.health import Health


class ApiServer:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.error: errors.KubeError | None = None

    async def ask(self) -> str:
        if self.error:
            raise self.error
        return "uid"


@pytest.fixture
def api() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def health(api: ApiServer) -> AsyncIterator[Health]:
    health = Health(api.ask)
    await health.serve("127.0.0.1:0")
    yield health
    await health.close()


async def get(health: Health, path: str) -> tuple[int, str]:
    ((host, port),) = health.addresses
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_a_process_that_still_reads_its_catalog_is_alive_and_not_ready(health: Health) -> None:
    assert await get(health, "/healthz") == (200, "ok\n")
    status, why = await get(health, "/readyz")
    assert (status, why) == (503, "classes and images have not been read yet\n")


async def test_it_is_ready_while_the_api_server_answers(health: Health, api: ApiServer) -> None:
    health.running()
    assert (await get(health, "/readyz"))[0] == 200
    api.error = errors.KubeUnavailable("GET /: connection refused")
    status, why = await get(health, "/readyz")
    assert status == 503
    assert api.error.reason in why
    assert (await get(health, "/healthz"))[0] == 200, "another process would not be answered either"


async def test_without_an_address_nothing_is_served(api: ApiServer) -> None:
    health = Health(api.ask)
    await health.serve("")
    assert health.addresses == []
    await health.close()
