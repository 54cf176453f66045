"""What a guest asked for is done after it was checked, in the right order, and answered as the API server would."""

from typing import Any

import pytest

from provider.errors import KubeConflict, KubeError, KubeUnavailable
from provider.podvm import PodIdentity
from provider.relay import STRATEGIC_MERGE, RelayReply, RelayRequest
from provider.relay_controller import RelayController
from tests.builders import UID, make_identity, make_pod


class Kube:
    """Remembers what was written; may be told to fail."""

    def __init__(self, error: KubeError | None = None) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.error = error

    def _do(self, *what: Any) -> dict:
        self.done.append(what)
        if self.error:
            raise self.error
        return {"kind": "Done"}

    async def patch_pod_status(self, namespace: str, name: str, patch: dict, content_type: str) -> dict:
        return self._do("status", namespace, name, patch, content_type)

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_period_seconds: int) -> dict:
        return self._do("delete", namespace, name, uid, grace_period_seconds)

    async def create_event(self, namespace: str, event: dict) -> dict:
        return self._do("event", namespace, event)

    async def patch_event(self, namespace: str, name: str, patch: dict, content_type: str) -> dict:
        return self._do("event patch", namespace, name, patch)

    async def create_token(self, node: str, namespace: str, service_account: str, body: dict) -> dict:
        return self._do("token", node, namespace, service_account, body)


def make_request(verb: str, body: dict | None = None, name: str = "web") -> RelayRequest:
    return RelayRequest(verb, "default", name, STRATEGIC_MERGE, body or {})


async def ask(kube: Kube, request: RelayRequest, pod: dict | None) -> RelayReply:
    async def before_delete(identity: PodIdentity) -> None:
        kube.done.append(("off", identity.uid))

    controller = RelayController(kube, "vch", "10.0.0.1")
    return await controller.handler_for(make_identity(), "10.0.0.5", lambda: pod, before_delete)(request)


async def test_the_vm_is_off_before_its_pod_goes() -> None:
    kube, pod = Kube(), make_pod()
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    reply = await ask(kube, make_request("deletePod", {"preconditions": {"uid": UID}}), pod)
    assert reply.code == 200
    assert kube.done == [("off", UID), ("delete", "default", "web", UID, 0)]


async def test_what_is_refused_is_not_written() -> None:
    kube = Kube()
    for request in (
        make_request("deletePod"),
        make_request("patchStatus", {"status": {}}, name="other"),
        make_request("createToken", name="admin"),
        make_request("drop tables"),
    ):
        reply = await ask(kube, request, make_pod())
        assert (reply.code, reply.object["reason"]) == (403, "Forbidden")
    assert kube.done == []


async def test_a_pod_that_is_gone_is_not_found() -> None:
    assert (await ask(Kube(), make_request("patchStatus", {"status": {}}), None)).code == 404


async def test_the_api_servers_own_words_reach_the_guest() -> None:
    status = {"kind": "Status", "code": 409, "message": "Precondition failed: UID"}
    kube = Kube(KubeConflict("x", code=409, status=status))
    reply = await ask(kube, make_request("patchStatus", {"status": {}}), make_pod())
    assert reply == RelayReply(409, status)


@pytest.mark.parametrize(("error", "code"), [(KubeUnavailable("down"), 503), (KubeError("odd"), 500)])
async def test_an_error_without_words_gets_some(error: KubeError, code: int) -> None:
    reply = await ask(Kube(error), make_request("patchStatus", {"status": {}}), make_pod())
    assert reply.code == reply.object["code"] == code
    assert reply.object["kind"] == "Status"
