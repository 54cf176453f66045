"""kube-proxy's place in a pod VM: served in the gateway namespace, warm before the freeze, told again after it."""

import json
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from vch_agent.guestinfo import GuestInfo
from vch_agent.identity import Identity
from vch_agent.pod_vm import PodVM
from vch_agent.resources import NODES
from vch_agent.setup import DNS

from tests.guest import build
from tests.guest.build import Hypervisor
from tests.guest.test_api_server import Kubelet


class Gateway:
    """A namespace that is this one, with any port."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def listen(self, address: str, port: int) -> socket.socket:
        self.asked.append((address, port))
        return socket.create_server((address, 0))

    def command(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    async def nft(self, text: str) -> str:
        return ""


@pytest.fixture
async def vm(tmp_path: Path, hypervisor: Hypervisor) -> AsyncIterator[PodVM]:
    settings = build.settings(tmp_path / "root")
    made = PodVM(settings, GuestInfo(settings.rpctool), cast("Any", Gateway()))
    await made.serve_kubelet(build.NODE, "169.254.1.1", DNS())
    yield made
    await made.close()


def proxy(vm: PodVM) -> Kubelet:
    return Kubelet(vm.proxy.port, f"Bearer {(vm.settings.run / 'proxy-token').read_text()}")


async def test_kube_proxy_is_served_where_the_gateway_is_with_a_token_of_its_own(vm: PodVM) -> None:
    assert not vm.proxy.started
    await vm.serve_proxy()
    assert cast("Any", vm.gateway).asked == [("127.0.0.1", 8001)]
    assert (vm.settings.run / "kube-proxy.env").exists()
    node = f"/api/v1/nodes/{build.NODE}"
    assert (await proxy(vm).ask("GET", node))[0] == 200
    kubelets = Kubelet(proxy(vm).port, f"Bearer {(vm.settings.run / 'token').read_text()}")
    assert (await kubelets.ask("GET", node))[0] == 401


async def test_a_parents_services_are_none_and_a_clones_are_not_known(
    vm: PodVM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vch_agent.proxy_api._HOLD", 0.05)
    await vm.serve_proxy()
    vm.proxy.routes.declare()
    code, value, _ = await proxy(vm).ask("GET", "/api/v1/services")
    assert (code, value["items"]) == (200, [])
    vm.become(Identity.parse(build.identity(clientCA="x")))
    assert (await proxy(vm).ask("GET", "/api/v1/services"))[0] == 503


async def test_kube_proxy_knows_its_zone_by_the_node_that_is_fed(vm: PodVM) -> None:
    await vm.serve_proxy()
    fed = build.node(**{"topology.kubernetes.io/zone": "a"})
    await vm.objects.snapshot([{**fed, "status": {"addresses": [{"type": "InternalIP", "address": "10.77.0.9"}]}}])
    (node,) = vm.proxy.routes.store.all(NODES)
    assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == "a"
    assert "10.77.0.9" not in json.dumps(node)
