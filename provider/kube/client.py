"""One connection to the API server: requests and watch streams of raw JSON. What is asked is the neighbours' business.

The `kubernetes` package does credentials, TLS and connections here; its models are not used, since decoding into them
costs more than the requests and loses fields that they do not know. Every request has a time-out; nothing is repeated
here: whoever asks knows whether asking twice does harm. What a virtual node writes goes through a `fenced` view, which
asks the fence when a connection is there and the request's first byte is about to leave.
"""

import copy
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config

from provider import errors
from provider.fence import Fence
from provider.metrics import kube as metrics

KubeObject = dict[str, Any]

USER_AGENT = "virtual-kubelet-vch"
FIELD_MANAGER = "virtual-kubelet-vch"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML

_TIMEOUT = 30.0
_SILENCE = 100.0
"""Seconds without a byte after which a watch is taken for dead: the API server sends a bookmark about every minute."""
_CALLS = 64
"""Connections for calls; watches have as many as they need."""
_QUESTIONS = ("/apis/authentication.k8s.io/", "/apis/authorization.k8s.io/")
"""Reviews are POSTed, but nothing is written by them."""

_before_sending: ContextVar[Callable[[], None] | None] = ContextVar("before_sending", default=None)
"""What is asked when a request of this task is about to be sent; a request may have waited long for its connection."""


def path(api_version: str, plural: str, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The URL path of a resource."""
    parts = ["api" if "/" not in api_version else "apis", *api_version.split("/")]
    if namespace:
        parts += ["namespaces", namespace]
    parts += [part for part in (plural, name, subresource) if part]
    return "/" + "/".join(quote(part, safe="") for part in parts)


def as_node(node: str) -> dict[str, str]:
    """Headers that make a request the virtual node's own, so that the Node authorizer bounds what it may read.

    With constrained impersonation (KEP-5284) the API server gives the group itself, and the client leaves it out.
    """
    return {"Impersonate-User": f"system:node:{node}", "Impersonate-Group": "system:nodes"}


class KubeClient:
    """Requests to one API server."""

    def __init__(
        self, configuration: client.Configuration, user_agent: str = USER_AGENT, *, constrained: bool = False
    ) -> None:
        self.configuration = configuration
        self._constrained = constrained
        configuration.trace_configs = [_tracing()]
        self._calls = _api_client(configuration, _CALLS, user_agent)
        self._watches = _api_client(configuration, 0, user_agent)
        self._fence: Fence | None = None

    @classmethod
    async def connect(
        cls, kubeconfig: Path | None, user_agent: str = USER_AGENT, *, constrained: bool = False
    ) -> "KubeClient":
        """From a kubeconfig file, or the Pod's service account. Nothing is asked yet. `constrained`: see `as_node`."""
        configuration = client.Configuration()
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            loaded = config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
            await loaded
        return cls(configuration, user_agent, constrained=constrained)

    def fenced(self, fence: Fence) -> "KubeClient":
        """The same connections; what is written through the result raises LeaseLost once the fence is shut."""
        view = copy.copy(self)
        view._fence = fence
        return view

    async def request(
        self,
        method: str,
        url_path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
        within: float = _TIMEOUT,
    ) -> KubeObject:
        """The object that was answered. Raises KubeError and its kinds, LeaseLost among them."""
        sent = {"Accept": accept, "Content-Type": content_type, **(headers or {})}
        limit = aiohttp.ClientTimeout(total=within)
        what = f"{method} {url_path}"
        fence = self._fence.check if self._fence and not _only_asks(method, url_path) else None
        try:
            with _asking(fence):
                response = await self._send(self._calls, method, url_path, query, sent, body, limit)
            answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.KubeUnavailable(f"{what}: {_text(error)}") from error
        return _decode(what, response.status, answer)

    async def stream(
        self, url_path: str, *, query: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[KubeObject]:
        """The events of a watch until the server ends it. Raises KubeError and its kinds."""
        sent = {"Accept": "application/json", **(headers or {})}
        limit = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT, sock_read=_SILENCE)
        what = f"WATCH {url_path}"
        try:
            response = await self._send(self._watches, "GET", url_path, query, sent, None, limit)
            try:
                if response.status != 200:
                    _decode(what, response.status, await response.read())
                rest = b""
                async for chunk in response.response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield json.loads(line)
            finally:
                response.response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.KubeUnavailable(f"{what}: {_text(error)}") from error

    async def close(self) -> None:
        """End all connections."""
        await self._calls.close()  # type: ignore[no-untyped-call]
        await self._watches.close()  # type: ignore[no-untyped-call]

    async def _send(
        self,
        api: client.ApiClient,
        method: str,
        url_path: str,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        body: Any,
        limit: aiohttp.ClientTimeout,
    ) -> Any:
        if self._constrained:
            headers.pop("Impersonate-Group", None)
        verb, url, sent, content, _ = await api.param_serialize(
            method,
            url_path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        return await api.call_api(verb, url, sent, content, _request_timeout=limit)


def _only_asks(method: str, url_path: str) -> bool:
    return method == "GET" or url_path.startswith(_QUESTIONS)


@contextmanager
def _asking(fence: Callable[[], None] | None) -> Iterator[None]:
    """Requests that this task sends meanwhile are asked for. At once as well: nobody waits for a connection in vain."""
    if fence is not None:
        fence()
    token = _before_sending.set(fence)
    try:
        yield
    finally:
        _before_sending.reset(token)


def _tracing() -> aiohttp.TraceConfig:
    """aiohttp tells of a request's headers before it writes them; what is raised there ends the request. It tells, too,
    of answers, which are counted."""

    async def about_to_send(*_: object) -> None:
        if (fence := _before_sending.get()) is not None:
            fence()

    async def begun(_: object, context: SimpleNamespace, __: object) -> None:
        context.began = time.monotonic()

    async def answered(
        _: object, context: SimpleNamespace, ended: aiohttp.TraceRequestEndParams | aiohttp.TraceRequestExceptionParams
    ) -> None:
        code = str(ended.response.status) if isinstance(ended, aiohttp.TraceRequestEndParams) else "<error>"
        metrics.answered(ended.method, ended.url.authority, code, time.monotonic() - context.began)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(begun)
    tracing.on_request_headers_sent.append(about_to_send)
    tracing.on_request_end.append(answered)
    tracing.on_request_exception.append(answered)
    return tracing


def _api_client(configuration: client.Configuration, connections: int, user_agent: str) -> client.ApiClient:
    api = client.ApiClient(configuration)
    api.user_agent = user_agent
    api.rest_client.maxsize = connections
    return api


def _decode(what: str, code: int, answer: bytes) -> KubeObject:
    try:
        found = json.loads(answer) if answer else {}
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    if 200 <= code < 300:
        return found
    message = str(found.get("message") or answer[:200].decode(errors="replace") or f"HTTP {code}")
    status = found if found.get("kind") == "Status" else None
    raise _kind(code)(f"{what}: {message}", code=code, status=status)


def _kind(code: int) -> type[errors.KubeError]:
    match code:
        case 404:
            return errors.KubeNotFound
        case 409:
            return errors.KubeConflict
        case 401 | 403:
            return errors.KubeForbidden
        case 410 | 429:
            return errors.KubeUnavailable
        case _ if code >= 500:
            return errors.KubeUnavailable
        case _:
            return errors.KubeError


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
