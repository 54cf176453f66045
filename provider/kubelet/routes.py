"""From method and path to what is asked for and which right it takes. Pure; what is not listed is not served.

Paths are the kubelet's (k8s.io/kubernetes pkg/kubelet/server/server.go), rights those of its authorizer
(pkg/kubelet/server/auth.go) with one stricter rule: whoever executes something needs `create`, whatever the HTTP
method. A WebSocket begins with GET, and a right to `get` is no right to run commands.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlencode


class Action(StrEnum):
    """What is asked for."""

    LOGS = "containerLogs"
    EXEC = "exec"
    ATTACH = "attach"
    PORT_FORWARD = "portForward"
    PODS = "pods"
    RUNNING_PODS = "runningpods"
    SUMMARY = "stats/summary"
    METRICS = "metrics"
    METRICS_RESOURCE = "metrics/resource"
    METRICS_CADVISOR = "metrics/cadvisor"
    METRICS_PROBES = "metrics/probes"
    HEALTHZ = "healthz"


STREAMS = frozenset({Action.EXEC, Action.ATTACH, Action.PORT_FORWARD})


@dataclass(frozen=True, slots=True)
class Route:
    """A request that is understood. Pod fields are empty for node-wide actions.

    `subresources` of `nodes` are tried in order: one that is allowed is enough (KubeletFineGrainedAuthz). `target` is
    the request target for the guest's kubelet, built anew.
    """

    action: Action
    verb: str
    subresources: tuple[str, ...]
    namespace: str = ""
    pod: str = ""
    uid: str | None = None
    container: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Unroutable:
    """A path or method that is not served. The right is asked for all the same: what exists is told to nobody else."""

    status: int
    verb: str
    message: str
    subresources: tuple[str, ...] = ("proxy",)


_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

_NODE_WIDE: dict[str, tuple[Action, tuple[str, ...]]] = {
    "/pods": (Action.PODS, ("pods", "proxy")),
    "/runningpods": (Action.RUNNING_PODS, ("pods", "proxy")),
    "/stats/summary": (Action.SUMMARY, ("stats",)),
    "/metrics": (Action.METRICS, ("metrics",)),
    "/metrics/resource": (Action.METRICS_RESOURCE, ("metrics",)),
    "/metrics/cadvisor": (Action.METRICS_CADVISOR, ("metrics",)),
    "/metrics/probes": (Action.METRICS_PROBES, ("metrics",)),
    "/healthz": (Action.HEALTHZ, ("healthz", "proxy")),
    "/healthz/ping": (Action.HEALTHZ, ("healthz", "proxy")),
    "/healthz/log": (Action.HEALTHZ, ("healthz", "proxy")),
    "/healthz/syncloop": (Action.HEALTHZ, ("healthz", "proxy")),
}

_QUERIES: dict[Action, frozenset[str]] = {
    Action.LOGS: frozenset(
        {"follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "stream", "tailLines", "timestamps"}
    ),
    Action.EXEC: frozenset({"command", "error", "input", "output", "stderr", "stdin", "stdout", "tty"}),
    Action.ATTACH: frozenset({"error", "input", "output", "stderr", "stdin", "stdout", "tty"}),
    Action.PORT_FORWARD: frozenset({"port"}),
}

_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
"""Of namespaces, Pods and containers, and UIDs: nothing in it has a meaning in a path."""

_METHODS = {
    Action.LOGS: ("GET",),
    Action.EXEC: ("GET", "POST"),
    Action.ATTACH: ("GET", "POST"),
    Action.PORT_FORWARD: ("GET", "POST"),
}


def route(method: str, target: str) -> Route | Unroutable:
    """What a request asks for."""
    verb = _VERBS.get(method)
    if verb is None:
        return Unroutable(405, "create", f"the method {method} is not served")
    if not target.startswith("/") or target.startswith("//") or "#" in target:
        return Unroutable(404, verb, "a target is a path and, at most, a query")
    whole, _, query = target.partition("?")
    path = whole.rstrip("/") or "/"
    if path in _NODE_WIDE:
        action, subresources = _NODE_WIDE[path]
        if method not in ("GET", "HEAD"):
            return Unroutable(405, verb, f"{path} takes GET only", subresources)
        return Route(action, verb, subresources)
    segments = [unquote(segment) for segment in path.split("/")[1:]]
    return _pod_route(method, verb, segments, query)


def _pod_route(method: str, verb: str, segments: Sequence[str], query: str) -> Route | Unroutable:
    try:
        action = Action(segments[0])
    except ValueError:
        return Unroutable(404, verb, f"/{'/'.join(segments)} is not served")
    if action not in _METHODS:
        return Unroutable(404, verb, f"/{'/'.join(segments)} is not served")
    if action in STREAMS:
        verb = "create"
    if method not in _METHODS[action]:
        return Unroutable(405, verb, f"/{action} does not take {method}")
    names = segments[1:]
    # /exec/NAMESPACE/POD[/UID]/CONTAINER; /portForward/NAMESPACE/POD[/UID]
    with_container = action is not Action.PORT_FORWARD
    least = 3 if with_container else 2
    if len(names) not in (least, least + 1) or not all(map(_NAME.fullmatch, names)):
        return Unroutable(404, verb, f"/{'/'.join(segments)} is not served")
    uid = names[2] if len(names) == least + 1 else None
    if action is Action.LOGS and uid is not None:
        return Unroutable(404, verb, f"/{'/'.join(segments)} is not served")
    return Route(
        action=action,
        verb=verb,
        subresources=("proxy",),
        namespace=names[0],
        pod=names[1],
        uid=uid,
        container=names[-1] if with_container else "",
        target=_target(action, names, query),
    )


def _target(action: Action, names: Sequence[str], query: str) -> str:
    """The guest kubelet's path: the same, with only the parameters that the kubelet knows, in their order."""
    allowed = _QUERIES[action]
    pairs = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key in allowed]
    path = "/".join((f"/{action}", *names))
    return f"{path}?{urlencode(pairs)}" if pairs else path
