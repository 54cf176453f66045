"""The kubelet API of a virtual node: deny by default."""

import http.client
import json
import ssl
from collections.abc import Iterator

import pytest

from e2e.tests.builders import make_pod
from e2e.tests.kube import Kube, running
from e2e.tests.running_lab import RunningLab

PATHS = ("/pods", "/stats/summary", "/metrics/resource", "/healthz", "/containerLogs/default/x/main")


class KubeletAPI:
    """The virtual node's port 10250, spoken to directly, past the API server."""

    def __init__(self, address: str) -> None:
        self.address = address
        # Who serves is not the question here: the API server verifies it with its own CA.
        self.tls = ssl._create_unverified_context()

    def ask(self, method: str, path: str, token: str | None = None, **headers: str) -> int:
        connection = http.client.HTTPSConnection(self.address, 10250, timeout=30, context=self.tls)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(name="api", scope="module")
def _api(module_kube: Kube, node: str) -> KubeletAPI:
    return KubeletAPI(module_kube.node_address(node))


@pytest.fixture(name="target", scope="module")
def _target(module_kube: Kube, node: str) -> str:
    """The path of a running container, below /exec and the like."""
    module_kube.apply(make_pod("target", node))
    module_kube.until("pod", "target", running, timeout=120)
    return f"{module_kube.namespace}/target/main"


def identity(kube: Kube, name: str, *rules: tuple[str, str]) -> str:
    """The token of a service account that may do (verb, resource) in the whole cluster."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{kube.namespace}-{name}"},
        "rules": [{"apiGroups": [""], "resources": [resource], "verbs": [verb]} for verb, resource in rules],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{kube.namespace}-{name}"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": f"{kube.namespace}-{name}",
        },
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": kube.namespace}],
    }
    kube.apply({**account, "metadata": {"name": name, "namespace": kube.namespace}}, role, binding)
    return kube.text("create", "token", name).strip()


@pytest.fixture(name="clean_roles", scope="module", autouse=True)
def _clean_roles(module_kube: Kube) -> Iterator[None]:
    yield
    for kind in ("clusterrole", "clusterrolebinding"):
        for found in module_kube.objects(kind):
            if found["metadata"]["name"].startswith(f"{module_kube.namespace}-"):
                module_kube.delete(kind, found["metadata"]["name"])


@pytest.mark.parametrize("path", PATHS)
def test_without_a_credential_nothing_is_served(api: KubeletAPI, path: str) -> None:
    assert api.ask("GET", path) == 401
    assert api.ask("GET", path, token="nonsense") == 401


@pytest.mark.parametrize("path", PATHS)
def test_without_rights_nothing_is_served(api: KubeletAPI, module_kube: Kube, path: str) -> None:
    assert api.ask("GET", path, token=identity(module_kube, "nobody")) == 403


def test_rights_to_metrics_are_rights_to_metrics_only(api: KubeletAPI, module_kube: Kube) -> None:
    token = identity(module_kube, "scraper", ("get", "nodes/metrics"))
    assert api.ask("GET", "/metrics/resource", token=token) == 200
    assert api.ask("GET", "/pods", token=token) == 403
    assert api.ask("GET", "/stats/summary", token=token) == 403


def test_who_may_only_get_cannot_exec_over_a_websocket(api: KubeletAPI, module_kube: Kube, target: str) -> None:
    token = identity(module_kube, "getter", ("get", "nodes/proxy"))
    assert api.ask("GET", f"/containerLogs/{target}", token=token) == 200
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    }
    assert api.ask("GET", f"/exec/{target}?command=id&output=1", token=token, **upgrade) == 403
    assert api.ask("GET", f"/attach/{target}?output=1", token=token, **upgrade) == 403
    creator = identity(module_kube, "creator", ("create", "nodes/proxy"))
    assert api.ask("GET", f"/exec/{target}?command=id&output=1", token=creator, **upgrade) == 101


def test_an_unknown_path_is_not_found_only_for_who_may_ask(api: KubeletAPI, module_kube: Kube) -> None:
    token = identity(module_kube, "asker", ("get", "nodes/proxy"))
    assert api.ask("GET", "/no-such-path", token=token) == 404
    assert api.ask("GET", "/no-such-path") == 401


def test_the_api_servers_audit_log_is_on(lab: RunningLab) -> None:
    with lab.audit_log.open() as lines:
        assert json.loads(next(lines))["kind"] == "Event"
