"""Get, list and watch, answered from a store the way an API server does; and what is in a request's body.

Who may ask, and whether what is stored is the truth yet, is said by the API servers (`api_server` for the kubelet,
`proxy_api` for kube-proxy).
"""

from collections.abc import AsyncGenerator
from typing import Any

from . import selectors, status
from .http_server import HTTPError, Request, Response
from .resources import Resource, Target
from .store import Expired, Store, Watcher

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def read(store: Store, resource: Resource, request: Request, target: Target) -> Response:
    """Answer a GET of a resource's object, or of all. Raises HTTPError."""
    if target.subresource:
        raise HTTPError(404, f"{request.path}: no such subresource here")
    if target.name:
        return get(store, resource, target)
    return _list_or_watch(store, resource, request, target)


def body(request: Request) -> dict[str, Any]:
    """The body as an object, empty if there is none. Raises HTTPError."""
    if not request.body:
        return {}
    try:
        value = request.json()
    except ValueError as error:
        raise HTTPError(400, f"body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise HTTPError(400, "body must be a JSON object")
    return value


def get(store: Store, resource: Resource, target: Target) -> Response:
    """One object. Raises HTTPError."""
    value = store.get(resource, target.namespace, target.name)
    if value is None:
        raise HTTPError(404, f'{target.plural} "{target.name}" not found')
    return Response(200, value)


def _list_or_watch(store: Store, resource: Resource, request: Request, target: Target) -> Response:
    query = request.query
    try:
        selector = selectors.compile_selector(
            target.namespace, query.get("fieldSelector", ""), query.get("labelSelector", "")
        )
    except ValueError as error:
        raise HTTPError(400, str(error)) from error
    if query.get("watch") not in ("1", "true"):
        return Response(200, _list(store, resource, selector))
    initial = query.get("sendInitialEvents") == "true"
    since = query.get("resourceVersion", "")
    try:
        watcher, values = store.watch(resource, selector, None if initial or since in ("", "0") else since)
    except Expired as error:
        return Response(200, stream=_expired(str(error)))
    return Response(200, stream=_events(store, resource, watcher, values, bookmark=initial))


def _list(store: Store, resource: Resource, selector: selectors.Selector) -> dict[str, Any]:
    return {
        "apiVersion": resource.api_version,
        "kind": f"{resource.kind}List",
        "metadata": {"resourceVersion": store.version(resource)},
        "items": store.select(resource, selector),
    }


async def _events(
    store: Store, resource: Resource, watcher: Watcher, initial: list[dict[str, Any]], *, bookmark: bool
) -> AsyncGenerator[Any, None]:
    """timeoutSeconds is not honoured: on loopback a watch that lives for ever is seen to end when it ends."""
    version = store.version(resource)
    try:
        for value in initial:
            yield {"type": "ADDED", "object": value}
        if bookmark:
            metadata = {"resourceVersion": version, "annotations": {INITIAL_EVENTS_END: "true"}}
            value = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
            yield {"type": "BOOKMARK", "object": value}
        async for kind, value in watcher:
            yield {"type": kind, "object": value}
    finally:
        store.unwatch(resource, watcher)


async def _expired(message: str) -> AsyncGenerator[Any, None]:
    yield {"type": "ERROR", "object": status.failure(410, message)}
