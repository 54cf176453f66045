"""What a guest asked for is done after it was checked, in the right order, and answered as the API server would."""

from typing import Any

import pytest
import structlog

from provider import relay
from provider.errors import KubeConflict, KubeError, KubeForbidden, KubeNotFound, KubeUnavailable
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


async def ask(kube: Kube, request: RelayRequest, pod: dict | None, *, off_fails: KubeError | None = None) -> RelayReply:
    async def before_delete(identity: PodIdentity) -> None:
        kube.done.append(("off", identity.uid))
        if off_fails:
            raise off_fails

    controller = RelayController(kube, "vch", "10.0.0.1")
    return await controller.handler_for(make_identity(), ["10.0.0.5"], lambda: pod, before_delete)(request)


async def test_the_vm_is_off_before_its_pod_goes() -> None:
    kube = Kube()
    reply = await ask(kube, make_request("deletePod", {"preconditions": {"uid": UID}}), deleted())
    assert reply.code == 200
    assert kube.done == [("off", UID), ("delete", "default", "web", UID, 0)]


def deleted() -> dict:
    pod = make_pod()
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return pod


async def test_a_pod_whose_vm_cannot_be_switched_off_stays() -> None:
    kube = Kube()
    reply = await ask(kube, make_request("deletePod"), deleted(), off_fails=KubeUnavailable("vCenter is away"))
    assert (reply.code, reply.object["code"], reply.object["message"]) == (503, 503, "vCenter is away")
    assert kube.done == [("off", UID)]


@pytest.mark.parametrize("body", [{"gracePeriodSeconds": 30}, {"propagationPolicy": "Orphan"}, {"dryRun": ["All"]}])
async def test_the_guest_has_no_say_in_how_its_pod_is_deleted(body: dict) -> None:
    kube = Kube()
    await ask(kube, make_request("deletePod", body), deleted())
    assert kube.done[-1] == ("delete", "default", "web", UID, 0)


async def test_the_vm_stays_on_when_the_delete_is_refused() -> None:
    kube = Kube()
    for request in (
        make_request("deletePod", {"preconditions": {"uid": "another"}}),
        make_request("deletePod", name="other"),
    ):
        assert (await ask(kube, request, deleted())).code == 403
    assert kube.done == []


async def test_a_status_is_written_with_the_uid_and_the_addresses_that_are_known() -> None:
    kube = Kube()
    reply = await ask(
        kube, make_request("patchStatus", {"status": {"phase": "Running", "podIP": "6.6.6.6"}}), make_pod()
    )
    assert reply == RelayReply(200, {"kind": "Done"})
    ((verb, namespace, name, patch, kind),) = kube.done
    assert (verb, namespace, name, kind) == ("status", "default", "web", STRATEGIC_MERGE)
    assert patch["metadata"] == {"uid": UID}
    assert (patch["status"]["podIP"], patch["status"]["hostIP"]) == ("10.0.0.5", "10.0.0.1")


async def test_events_are_written_in_the_pods_namespace_whatever_the_request_says() -> None:
    kube = Kube()
    event = {"metadata": {"name": "web.17"}, "involvedObject": {"kind": "Pod", "uid": UID}, "reason": "Pulled"}
    for request in (
        RelayRequest("createEvent", "kube-system", "", "application/json", event),
        RelayRequest("patchEvent", "kube-system", "web.17", STRATEGIC_MERGE, {"count": 2}),
    ):
        assert (await ask(kube, request, make_pod())).code == 200
    assert kube.done[0][:2] == ("event", "default")
    assert kube.done[0][2]["source"] == {"component": "kubelet", "host": "vch"}
    assert kube.done[1] == ("event patch", "default", "web.17", {"count": 2})


async def test_a_token_is_asked_for_as_the_node_and_for_the_pod() -> None:
    kube = Kube()
    pod = make_pod(volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}])
    request = RelayRequest("createToken", "kube-system", "default", "application/json", {"spec": {}})
    assert (await ask(kube, request, pod)).code == 200
    ((verb, node, namespace, account, body),) = kube.done
    assert (verb, node, namespace, account) == ("token", "vch", "default", "default")
    assert body["spec"]["boundObjectRef"]["uid"] == UID


async def test_what_is_too_large_or_too_deep_is_not_even_looked_at() -> None:
    kube = Kube()
    deep: dict = {}
    for _ in range(relay.DEPTH_LIMIT):
        deep = {"status": deep}
    for body in ({"x": "y" * relay.BODY_LIMIT}, deep):
        assert (await ask(kube, make_request("patchStatus", body), make_pod())).code == 403
    assert kube.done == []


@pytest.mark.parametrize(
    "request_",
    [
        RelayRequest("x" * 100_000, "default", "web", STRATEGIC_MERGE, {}),
        RelayRequest("patchStatus", "default", "x" * 100_000, STRATEGIC_MERGE, {}),
        RelayRequest("patchStatus", "default", "web", "x" * 100_000, {}),
        RelayRequest("patchStatus", "default", "web", STRATEGIC_MERGE, {"status": {"phase": "x" * 100_000}}),
        RelayRequest("createToken", "default", "x" * 100_000, STRATEGIC_MERGE, {}),
    ],
)
async def test_what_a_guest_said_is_not_repeated_at_length(request_: RelayRequest) -> None:
    with structlog.testing.capture_logs() as logs:
        reply = await ask(Kube(), request_, make_pod())
    assert reply.code == 403
    assert len(str(reply.object)) < 1000
    assert [len(str(line)) < 1000 for line in logs] == [True]


async def test_the_pod_is_judged_as_it_is_now() -> None:
    kube, now = Kube(), make_pod()

    async def off(_: PodIdentity) -> None:
        """Nothing to switch off."""

    handler = RelayController(kube, "vch", "10.0.0.1").handler_for(make_identity(), ["10.0.0.5"], lambda: now, off)
    assert (await handler(make_request("deletePod"))).code == 403
    now = deleted()
    assert (await handler(make_request("deletePod"))).code == 200


@pytest.mark.parametrize("verb", ["drop tables", "", "patchstatus", "None", "create", "getSecret"])
async def test_what_is_no_verb_is_forbidden(verb: str) -> None:
    kube = Kube()
    reply = await ask(kube, make_request(verb), make_pod())
    assert (reply.code, reply.object["code"], reply.object["reason"]) == (403, 403, "Forbidden")
    assert kube.done == []


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


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KubeUnavailable("down"), 503),
        (KubeNotFound("gone"), 404),
        (KubeConflict("another"), 409),
        (KubeForbidden("no"), 403),
        (KubeError("odd"), 500),
        (KubeError("odd", code=422, status={"kind": "List"}), 500),
    ],
)
async def test_an_error_without_words_gets_some(error: KubeError, code: int) -> None:
    reply = await ask(Kube(error), make_request("patchStatus", {"status": {}}), make_pod())
    assert reply.code == reply.object["code"] == code
    assert reply.object["kind"] == "Status"
