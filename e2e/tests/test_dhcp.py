"""Pods whose addresses a DHCP server of their port group gives (`spec.podNetwork.ipam: DHCP`).

dnsmasq serves the laboratory's bridge for Pods, with addresses that no pool has; what it wrote down is looked at.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.lab import simulator
from e2e.lab.netns import POD_BRIDGE, POD_GATEWAY
from e2e.lab.vch_operator import HOSTS
from e2e.tests.builders import make_container, make_pod
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines

START = {"native": 120, "qemu": 600}
FIRST, LAST = "10.78.0.251", "10.78.0.253"
ADDRESSES = {FIRST, "10.78.0.252", LAST}
ROOT = {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}, "runAsUser": 0}


@dataclass(frozen=True, slots=True)
class Server:
    """dnsmasq, as it writes down what it does."""

    folder: Path

    @contextmanager
    def running(self, first: str = FIRST, last: str = LAST) -> Iterator[None]:
        """Of these addresses and no others; it knows of no lease that was given before."""
        self.leases.write_text("")
        arguments = (
            *("--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--user=root", "--bind-interfaces"),
            *(f"--interface={POD_BRIDGE}", "--except-interface=lo", "--dhcp-authoritative", "--log-dhcp"),
            *(f"--dhcp-leasefile={self.leases}", f"--log-facility={self.log}"),
            f"--dhcp-range={first},{last},255.255.255.0,120s",
        )
        process = subprocess.Popen(["dnsmasq", *arguments])
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)

    @property
    def leases(self) -> Path:
        return self.folder / "leases"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def holders(self) -> dict[str, str]:
        """Host name of each address."""
        lines = (line.split() for line in self.leases.read_text().splitlines())
        return {words[2]: words[3] for words in lines}

    def heard(self) -> int:
        """Messages of clients without an address: those that have one renew when they like."""
        return self.log.read_text().count(" DHCPDISCOVER(") + self.log.read_text().count(" DHCPRELEASE(")


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(tmp_path_factory.mktemp("dnsmasq"))


@pytest.fixture(scope="module", name="vch")
def _vch(lab: RunningLab, module_kube: Kube, pytestconfig: pytest.Config) -> Iterator[OwnVCH]:
    vch = OwnVCH(lab, module_kube, "leased", address="127.0.0.13")
    lab.simulator.create_folder(vch.name)
    vch.log_in(simulator.USER, lab.simulator.password)
    guest = "native" if "native" in pytestconfig.getoption("--guests").split(",") else "qemu"
    image = HOSTS[guest].image
    thing = vch.object(template={"images": [image], "classes": [image]})
    thing["spec"]["podNetwork"] = {"portGroup": simulator.PODS, "ipam": "DHCP", "isolation": "Pod"}
    module_kube.apply(thing)
    vch.ready(timeout=START[guest])
    yield vch
    vch.delete()


def attacker(name: str, node: str) -> KubeObject:
    return make_pod(name, node, make_container(securityContext=ROOT))


def test_pods_have_leases_reach_the_network_and_give_them_back(
    kube: Kube, vch: OwnVCH, server: Server, lab: RunningLab, vms: VirtualMachines
) -> None:
    with server.running():
        kube.apply(*(attacker(name, vch.name) for name in ("one", "two")))
        pods = {name: kube.until("pod", name, ready, timeout=240) for name in ("one", "two")}
        own = {name: pod["status"]["podIP"] for name, pod in pods.items()}
        assert set(own.values()) <= ADDRESSES
        assert server.holders() == {address: name for name, address in own.items()}
        for name, address in own.items():
            assert f"inet {address}/24" in kube.text("exec", name, "--", "ip", "-4", "address", "show", "eth0")
            kube.run("exec", name, "--", "ping", "-c", "1", "-W", "5", POD_GATEWAY)
        kube.run("exec", "one", "--", "ping", "-c", "1", "-W", "5", own["two"])

        before = server.leases.read_text()
        attack = (
            "udhcpc -f -n -q -t 2 -T 1 -A 1 -i eth0 -s /bin/true; "
            f"for from in 68 4000; do echo x | nc -u -w 1 -p $from {POD_GATEWAY} 67; done"
        )
        talked = server.heard()
        said = kube.run("exec", "one", "--", "sh", "-c", attack, check=False)
        assert b"no lease" in said.stderr + said.stdout
        assert server.leases.read_text() == before
        assert server.heard() == talked, "it has not even heard of it"

        lab.kill_operator()
        lab.start_operator()
        for name, address in own.items():
            lab.until_exec_works(kube, name)
            assert kube.pod(name)["status"]["podIP"] == address
            assert len(vms.of(pods[name]["metadata"]["uid"])) == 1

        kube.delete("pod", "one")
        kube.gone("pod", "one", timeout=60)
        assert own["one"] not in server.holders(), "it was given back before the VM went"
        kube.apply(attacker("three", vch.name))
        kube.until("pod", "three", ready, timeout=240)


def test_policies_and_services_mean_leased_addresses_too(kube: Kube, vch: OwnVCH, server: Server) -> None:
    serve = "mkdir -p /www && echo served > /www/index.html && exec httpd -f -p 8080 -h /www"
    selected = {"matchLabels": {"app": "server"}}
    friends = [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}]
    with server.running():
        kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "server"},
                "spec": {"selector": selected["matchLabels"], "ports": [{"port": 80, "targetPort": 8080}]},
            },
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "friends"},
                "spec": {"podSelector": selected, "policyTypes": ["Ingress"], "ingress": friends},
            },
            make_pod("server", vch.name, make_container(script=serve)),
            *(make_pod(name, vch.name) for name in ("friend", "stranger")),
        )
        for name in ("server", "friend", "stranger"):
            kube.until("pod", name, ready, timeout=240)
        service = kube.get("service", "server")
        assert service is not None
        ask = f"timeout 3 wget -qO- http://{service['spec']['clusterIP']}:80/"
        tried = f"for n in $(seq 20); do {ask} && exit; sleep 1; done; exit 1"
        assert "served" in kube.text("exec", "friend", "--", "sh", "-c", tried)
        assert kube.text("exec", "stranger", "--", "sh", "-c", f"{ask} || echo $?").strip() == "143", "no answer at all"


def test_without_a_server_the_pod_says_what_it_waits_for(kube: Kube, vch: OwnVCH, server: Server) -> None:
    kube.apply(make_pod("waits", vch.name))

    def explained(pod: KubeObject) -> bool:
        return bool(pod["status"].get("reason") == "NoLease")

    pod = kube.until("pod", "waits", explained, timeout=240, what="the reason NoLease")
    assert pod["status"]["phase"] == "Pending"
    assert f"port group {simulator.PODS}: no DHCP server answered" in pod["status"]["message"]
    assert any(each["reason"] == "FailedCreatePodSandBox" for each in kube.events(pod))
    with server.running():
        kube.until("pod", "waits", ready, timeout=240)


def test_an_address_that_the_server_takes_back_ends_the_pod(kube: Kube, vch: OwnVCH, server: Server) -> None:
    with server.running():
        kube.apply(make_pod("loses", vch.name))
        address = kube.until("pod", "loses", ready, timeout=240)["status"]["podIP"]
    other = min(ADDRESSES - {address})

    def failed(pod: KubeObject) -> bool:
        return bool(pod["status"]["phase"] == "Failed")

    with server.running(other, other):
        pod = kube.until("pod", "loses", failed, timeout=240)
    assert "AddressLost: " in pod["status"]["message"]
    assert any(each["reason"] == "AddressLost" for each in kube.events(pod))
