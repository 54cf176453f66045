"""How a Pod is called and finds others: what a kubelet makes of dnsPolicy, dnsConfig, hostname and hostAliases."""

from e2e.lab.cluster_dns import ADDRESS, DOMAIN
from e2e.lab.netns import POD_GATEWAY
from e2e.tests.builders import make_pod
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.serving import PORT, Seat, make_server, make_service

START = 120
CONFIG = {
    "nameservers": [POD_GATEWAY],
    "searches": [f"apart.svc.{DOMAIN}"],
    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
}
OWN_LINES = [f"search apart.svc.{DOMAIN}", f"nameserver {POD_GATEWAY}", "options ndots:2 edns0"]


def resolver(seat: Seat) -> list[str]:
    """/etc/resolv.conf in the Pod."""
    return seat.run("cat /etc/resolv.conf").split("\n")[:-1]


def test_the_pods_name_servers_are_those_of_its_dns_policy(kube: Kube, node: str) -> None:
    policies: dict[str, KubeObject] = {
        "usual": {},
        "added": {"dnsPolicy": "ClusterFirst", "dnsConfig": CONFIG},
        "vms": {"dnsPolicy": "Default"},
        "own": {"dnsPolicy": "None", "dnsConfig": CONFIG},
    }
    kube.apply(*(make_pod(name, node, **spec) for name, spec in policies.items()))
    for name in policies:
        kube.until("pod", name, ready, timeout=START)
    seats = {name: Seat(kube, name) for name in policies}
    search = f"search {kube.namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}"
    assert resolver(seats["usual"]) == [search, f"nameserver {ADDRESS}", "options ndots:5"]
    assert resolver(seats["added"]) == [
        f"{search} apart.svc.{DOMAIN}",
        *(f"nameserver {server}" for server in (ADDRESS, POD_GATEWAY)),
        "options ndots:2 edns0",
    ]
    assert resolver(seats["vms"]) == []  # the laboratory's VCHs have no `network.nameservers`
    assert resolver(seats["own"]) == OWN_LINES
    assert seats["own"].addresses(f"kubernetes.default.svc.{DOMAIN}")
    assert not seats["usual"].addresses(f"nobody.default.svc.{DOMAIN}")


def test_pods_with_a_subdomain_are_found_by_their_host_name(kube: Kube, node: str) -> None:
    names = ("left", "right")
    kube.apply(
        make_service("parts", clusterIP="None"),
        *(make_server(f"pod-{name}", node, hostname=name, subdomain="parts") for name in names),
    )
    pods = {name: kube.until("pod", f"pod-{name}", ready, timeout=START) for name in names}
    left = Seat(kube, "pod-left")
    domain = f"parts.{kube.namespace}.svc.{DOMAIN}"
    assert left.run("hostname; hostname -f").split() == ["left", f"left.{domain}"]
    assert left.until_served(f"right.{domain}", port=PORT) == "pod-right"
    assert left.fetch("right.parts", port=PORT) == "pod-right"
    for name in names:
        assert left.addresses(f"{name}.{domain}") == {pods[name]["status"]["podIP"]}
    assert left.addresses(domain) == {pod["status"]["podIP"] for pod in pods.values()}


def test_host_aliases_are_in_etc_hosts_and_resolve(kube: Kube, node: str) -> None:
    aliases = [{"ip": POD_GATEWAY, "hostnames": ["way.example", "out.example"]}]
    kube.apply(make_pod("aliased", node, hostAliases=aliases))
    pod = kube.until("pod", "aliased", ready, timeout=START)
    hosts = Seat(kube, "aliased").run("cat /etc/hosts")
    lines = [line.split() for line in hosts.splitlines()]
    assert [POD_GATEWAY, "way.example", "out.example"] in lines
    assert [pod["status"]["podIP"], "aliased"] in lines
    assert f"PING out.example ({POD_GATEWAY})" in Seat(kube, "aliased").run("ping -c 1 -W 5 out.example")
