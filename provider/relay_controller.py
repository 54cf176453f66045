"""Carries out what guests ask for, after `relay` has checked it: the one place where a guest's word becomes a write.

It holds no state of its own: whose guest it is, and what its Pod is now, are given with each handler.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from provider import relay
from provider.errors import KubeConflict, KubeError, KubeForbidden, KubeNotFound, KubeUnavailable
from provider.feed import KubeObject
from provider.podvm import PodIdentity
from provider.relay import RelayRefused, RelayReply, RelayRequest

RelayHandler = Callable[[RelayRequest], Awaitable[RelayReply]]
CurrentPod = Callable[[], KubeObject | None]
BeforeDelete = Callable[[PodIdentity], Awaitable[None]]

_WORDS = 300  # characters
_CODES: dict[type[KubeError], int] = {KubeNotFound: 404, KubeConflict: 409, KubeForbidden: 403, KubeUnavailable: 503}


class RelayKube(Protocol):
    """The writes that guests may cause. Errors are `errors.KubeError`s."""

    async def patch_pod_status(self, namespace: str, name: str, patch: KubeObject, content_type: str) -> KubeObject: ...

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_period_seconds: int) -> KubeObject:
        """Deletes with a precondition on the UID. Raises KubeNotFound, KubeConflict (another UID)."""

    async def create_event(self, namespace: str, event: KubeObject) -> KubeObject: ...

    async def patch_event(self, namespace: str, name: str, patch: KubeObject, content_type: str) -> KubeObject: ...

    async def create_token(self, node: str, namespace: str, service_account: str, body: KubeObject) -> KubeObject:
        """As `system:node:<node>`, so that the API server itself checks that the Pod is this node's."""


class RelayController:
    """Makes the relay handlers of the guests of one virtual node."""

    def __init__(self, kube: RelayKube, node: str, host_ip: str) -> None:
        self._kube = kube
        self._node = node
        self._host_ip = host_ip

    def handler_for(
        self, identity: PodIdentity, addresses: Sequence[str], current_pod: CurrentPod, before_delete: BeforeDelete
    ) -> RelayHandler:
        """The handler of one guest.

        `addresses`: its Pod's. `before_delete` returns when the VM is off: the VM goes before its Pod does.
        """
        log = structlog.get_logger(pod=f"{identity.namespace}/{identity.name}", uid=identity.uid)

        async def handle(request: RelayRequest) -> RelayReply:
            pod = current_pod()
            if pod is None:
                return failure(404, "NotFound", f'pods "{identity.name}" not found')
            try:
                relay.check_size(request)
                return RelayReply(200, await self._carry_out(request, pod, identity, addresses, before_delete))
            except RelayRefused as error:
                reason = str(error)[:_WORDS]  # the guest's own are among them
                log.warning("refused a guest", verb=request.verb[:_WORDS], reason=reason)
                return relay.refusal(reason)
            except KubeError as error:
                return _from_error(error)

        return handle

    async def _carry_out(
        self,
        request: RelayRequest,
        pod: KubeObject,
        identity: PodIdentity,
        addresses: Sequence[str],
        before_delete: BeforeDelete,
    ) -> KubeObject:
        body = request.body
        match request.verb:
            case "patchStatus":
                relay.check_subject(request, pod)
                patch = relay.check_status_patch(
                    body, request.content_type, pod, pod_ips=addresses, host_ip=self._host_ip
                )
                return await self._kube.patch_pod_status(identity.namespace, identity.name, patch, request.content_type)
            case "createEvent":
                return await self._kube.create_event(identity.namespace, relay.check_event(body, pod, self._node))
            case "patchEvent":
                change = relay.check_event_patch(request.name, body, request.content_type, pod)
                return await self._kube.patch_event(identity.namespace, request.name, change, request.content_type)
            case "createToken":
                checked = relay.check_token_request(request.name, body, pod)
                return await self._kube.create_token(self._node, identity.namespace, request.name, checked)
            case "deletePod":
                relay.check_subject(request, pod)
                uid = relay.check_delete(body, pod)
                await before_delete(identity)
                return await self._kube.delete_pod(identity.namespace, identity.name, uid, 0)
        raise RelayRefused(f"the verb {request.verb!r}")


def _from_error(error: KubeError) -> RelayReply:
    status = getattr(error, "status", None)
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), 500)
    if isinstance(status, dict) and status.get("kind") == "Status":
        return RelayReply(int(status.get("code") or code), status)
    return failure(code, error.reason, str(error))


def failure(code: int, reason: str, message: str) -> RelayReply:
    """As the API server says no."""
    status = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": message,
    }
    return RelayReply(code, status)
