"""What kube-proxy is told: everything that the provider said, nothing before, and nothing that is the Pod's."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from vch_agent import proxy_api
from vch_agent.api_server import bearer
from vch_agent.http_server import HTTPServer
from vch_agent.proxy_api import ProxyAPI
from vch_agent.resources import ENDPOINT_SLICES, NODES, SERVICES
from vch_agent.service_routes import NODE_IP, ServiceRoutes

from tests.guest.test_api_server import Kubelet

# As kube-proxy 1.37 asks.
_NO_PROXY, _NO_HEADLESS = "%21service.kubernetes.io%2Fservice-proxy-name", "%21service.kubernetes.io%2Fheadless"
SERVICES_PATH = f"/api/v1/services?labelSelector={_NO_PROXY}&fieldSelector=spec.clusterIP%21%3DNone"
SLICES_PATH = f"/apis/discovery.k8s.io/v1/endpointslices?labelSelector={_NO_HEADLESS}"
WATCH = "&watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"


def service(name: str = "web", port: int = 80) -> dict[str, Any]:
    spec = {"clusterIP": "10.96.0.5", "ports": [{"name": "", "port": port, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": name}, "spec": spec}


def endpoint_slice(name: str = "web") -> dict[str, Any]:
    metadata = {"namespace": "default", "name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}}
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "endpoints": []}


def names(routes: ServiceRoutes) -> set[str]:
    return {value["metadata"]["name"] for value in routes.store.all(SERVICES)}


@pytest.fixture
def routes() -> ServiceRoutes:
    routes = ServiceRoutes()
    routes.own_node("vch-0")
    return routes


@pytest.fixture
async def proxy(routes: ServiceRoutes, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kubelet]:
    """A client like kube-proxy."""
    monkeypatch.setattr(proxy_api, "_HOLD", 0.05)
    server = HTTPServer(ProxyAPI(routes).handle, bearer("secret", "kube-proxy"))
    await server.start("127.0.0.1", 0)
    yield Kubelet(server.port)
    await server.close()


@pytest.mark.parametrize("path", [SERVICES_PATH, SLICES_PATH, SERVICES_PATH + WATCH])
async def test_unknown_is_503_and_never_empty(proxy: Kubelet, path: str) -> None:
    code, value, headers = await proxy.ask("GET", path)
    assert (code, value["reason"], headers["retry-after"]) == (503, "ServiceUnavailable", "1")


async def test_half_of_all_is_not_all(routes: ServiceRoutes, proxy: Kubelet) -> None:
    routes.change([service("a")], [], first=True, last=False)
    assert (await proxy.ask("GET", SERVICES_PATH))[0] == 503
    routes.change([service("b")], [], first=False, last=True)
    code, value, _ = await proxy.ask("GET", SERVICES_PATH)
    assert (code, len(value["items"])) == (200, 2)


async def test_kube_proxy_lists_and_watches(routes: ServiceRoutes, proxy: Kubelet) -> None:
    routes.change([service(), endpoint_slice()], [], first=True, last=True)
    events = proxy.watch(SLICES_PATH + WATCH)
    first, bookmark = await anext(events), await anext(events)
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "web-1")
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    changed = {**endpoint_slice(), "endpoints": [{"addresses": ["10.78.0.30"]}]}
    routes.change([changed], [], first=False, last=False)
    event = await anext(events)
    assert (event["type"], event["object"]["endpoints"]) == ("MODIFIED", changed["endpoints"])
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(first["object"]["metadata"]["resourceVersion"])
    routes.change([], [endpoint_slice()], first=False, last=False)
    assert (await anext(events))["type"] == "DELETED"


async def test_kube_proxy_leaves_out_the_services_of_another_proxy(routes: ServiceRoutes, proxy: Kubelet) -> None:
    others = service("others")
    others["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "cilium"}
    routes.change([service("own"), others], [], first=True, last=True)
    _, value, _ = await proxy.ask("GET", SERVICES_PATH)
    assert [each["metadata"]["name"] for each in value["items"]] == ["own"]


async def test_what_is_not_in_the_next_full_set_is_gone_with_its_last_frame(routes: ServiceRoutes) -> None:
    routes.change([service("a"), service("b")], [], first=True, last=True)
    routes.change([service("c")], [], first=True, last=False)
    assert names(routes) == {"a", "b", "c"}
    routes.change([service("b")], [], first=False, last=True)
    assert names(routes) == {"b", "c"}


async def test_a_full_set_that_broke_off_takes_nothing_away(routes: ServiceRoutes) -> None:
    routes.change([service("a"), service("b")], [], first=True, last=True)
    routes.change([service("a")], [], first=True, last=False)
    routes.change([service("a"), service("b")], [], first=True, last=True)
    assert names(routes) == {"a", "b"}


async def test_what_is_said_again_is_no_event(routes: ServiceRoutes) -> None:
    routes.change([service()], [], first=True, last=True)
    version = routes.store.version(SERVICES)
    routes.change([service()], [], first=True, last=True)
    assert routes.store.version(SERVICES) == version
    routes.change([service(port=81)], [], first=False, last=False)
    assert routes.store.version(SERVICES) != version


async def test_a_clones_kube_proxy_keeps_its_watches_and_its_node(routes: ServiceRoutes) -> None:
    """It ends itself when the Node's address changes or the Node goes."""
    routes.declare()
    routes.forget()
    assert not routes.known.is_set()
    routes.own_node("vch-0", {"topology.kubernetes.io/zone": "a"})
    (node,) = routes.store.all(NODES)
    assert node["metadata"]["labels"] == {"kubernetes.io/hostname": "vch-0", "topology.kubernetes.io/zone": "a"}
    assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": NODE_IP}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("x", "object"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}, "Secret"),
        ({"apiVersion": "v1", "kind": "Service", "metadata": {}}, "metadata.name"),
    ],
)
def test_what_is_not_for_kube_proxy_is_refused_and_changes_nothing(
    routes: ServiceRoutes, value: Any, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        routes.change([service(), endpoint_slice(), value], [], first=True, last=True)
    assert routes.store.all(SERVICES) == routes.store.all(ENDPOINT_SLICES) == ()


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dvch-0", 200),
        ("GET", "/apis/networking.k8s.io/v1/servicecidrs", 200),
        ("GET", "/version", 200),
        ("POST", "/apis/events.k8s.io/v1/namespaces/default/events", 201),
        ("GET", "/api/v1/secrets", 404),
        ("GET", "/api/v1/pods", 404),
        ("DELETE", "/api/v1/namespaces/default/services/web", 405),
    ],
)
async def test_nothing_else_is_served(routes: ServiceRoutes, proxy: Kubelet, method: str, path: str, code: int) -> None:
    routes.declare()
    assert (await proxy.ask(method, path, {} if method == "POST" else None))[0] == code
