"""A container's environment tells of Services as on any node, whether the guests route Services or not."""

from collections.abc import Iterator

import pytest

from e2e.tests.builders import make_pod
from e2e.tests.kube import Kube, KubeObject, Predicate, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.serving import Seat, make_service

START = 120
NAMED_PORTS = [
    {"name": "http", "port": 80, "targetPort": 8080},
    {"name": "dns", "port": 53, "protocol": "UDP"},
]
SPOKEN_OF = ("KUBERNETES_", "WEB_", "TWO_DOORS_", "PROXIED_", "HEADLESS_", "ELSEWHERE_", "LATE_")


@pytest.fixture(scope="module")
def unrouted(lab: RunningLab) -> Iterator[str]:
    """A virtual node whose guests have no kube-proxy."""
    vch = OwnVCH(lab, Kube(lab.kubectl, lab.kubeconfig), "service-links")
    vch.create(podNetwork={"serviceRouting": "None"})
    try:
        vch.ready(timeout=START)
        yield vch.name
    finally:
        vch.delete()


def started(again: int) -> Predicate:
    """Whether the container has started so many times after the first."""
    return lambda pod: ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] >= again


def environment(kube: Kube, pod: str) -> dict[str, str]:
    """What the container was told of Services when it started."""
    lines = Seat(kube, pod).run("tr '\\0' '\\n' </proc/1/environ").splitlines()
    pairs = (line.split("=", 1) for line in lines)
    return {name: value for name, value in pairs if name.startswith(SPOKEN_OF)}


def told_of(name: str, service: KubeObject) -> dict[str, str]:
    """What a kubelet makes of a Service (k8s.io/kubernetes pkg/kubelet/envvars)."""
    address, ports = service["spec"]["clusterIP"], service["spec"]["ports"]

    def url(port: KubeObject) -> str:
        return f"{port['protocol'].lower()}://{address}:{port['port']}"

    told = {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(ports[0]["port"]),
        f"{name}_PORT": url(ports[0]),
    }
    for port in ports:
        prefix = f"{name}_PORT_{port['port']}_{port['protocol']}"
        told |= {prefix: url(port), f"{prefix}_PROTO": port["protocol"].lower()}
        told |= {f"{prefix}_PORT": str(port["port"]), f"{prefix}_ADDR": address}
        if port.get("name"):
            told[f"{name}_SERVICE_PORT_{port['name'].upper()}"] = str(port["port"])
    return told


def always(kube: Kube) -> dict[str, str]:
    """What is told of the API server's Service, whatever a Pod says."""
    service = kube.within("default").get("service", "kubernetes")
    assert service is not None
    return told_of("KUBERNETES", service)


@pytest.fixture(scope="module")
def told(module_kube: Kube) -> Iterator[dict[str, str]]:
    """Services of many kinds; of which of them a Pod of their namespace is told, and how."""
    kube = module_kube
    proxied = make_service("proxied")
    proxied["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "another"}
    web, doors, proxied, *_ = kube.apply(
        make_service("web"),
        make_service("two-doors", ports=NAMED_PORTS),
        proxied,
        make_service("headless", clusterIP="None"),
    )
    kube.within("default").apply(make_service("elsewhere"))
    yield always(kube) | told_of("WEB", web) | told_of("TWO_DOORS", doors) | told_of("PROXIED", proxied)
    kube.within("default").delete("service", "elsewhere")


@pytest.fixture(scope="module", params=["routed", "unrouted"])
def linked_node(request: pytest.FixtureRequest, node: str) -> str:
    """Each of the two sorts of virtual nodes."""
    return str(request.getfixturevalue("unrouted")) if request.param == "unrouted" else node


def test_a_container_is_told_of_the_services_of_its_namespace(
    module_kube: Kube, linked_node: str, told: dict[str, str]
) -> None:
    module_kube.apply(make_pod(f"links-{linked_node}", linked_node))
    module_kube.until("pod", f"links-{linked_node}", ready, timeout=START)
    assert environment(module_kube, f"links-{linked_node}") == told


def test_a_pod_that_wants_no_links_is_told_of_the_api_server_only(
    module_kube: Kube, linked_node: str, told: dict[str, str]
) -> None:
    module_kube.apply(make_pod(f"none-{linked_node}", linked_node, enableServiceLinks=False))
    module_kube.until("pod", f"none-{linked_node}", ready, timeout=START)
    assert environment(module_kube, f"none-{linked_node}") == always(module_kube)


def test_a_container_that_starts_again_is_told_what_there_is_then(kube: Kube, linked_node: str) -> None:
    kube.apply(make_pod("again", linked_node))
    kube.until("pod", "again", ready, timeout=START)
    assert environment(kube, "again") == always(kube)
    (late,) = kube.apply(make_service("late"))

    wanted = always(kube) | told_of("LATE", late)
    for before in range(5):  # the guest is told within a second or two: each start is one look
        Seat(kube, "again").run("kill -TERM 1", check=False)
        kube.until("pod", "again", started(before + 1), timeout=START)
        if environment(kube, "again") == wanted:
            break
    assert environment(kube, "again") == wanted
