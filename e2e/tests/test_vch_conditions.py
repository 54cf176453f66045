"""What is wrong with a VCH is named in a condition of its own, with what would do; mended, it works again by itself.

Nothing else is touched meanwhile: not the operator's process, not the other VCH, not a Pod that runs.
"""

import time
from collections.abc import Iterator

import pytest

from e2e.lab import simulator
from e2e.lab.vch_operator import made
from e2e.tests.builders import make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, condition, container_status, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.relay import relayed
from e2e.tests.running_lab import RunningLab
from e2e.tests.vcenter_control import VCenterControl
from e2e.tests.virtual_machines import VirtualMachines

MENDED = 30
START = 90
TENANT, PASSWORD = "tenant", "a password"
TEMPLATE = "/DC0/vm/template-native"


@pytest.fixture(scope="module", name="vch")
def _vch(lab: RunningLab, module_kube: Kube) -> Iterator[OwnVCH]:
    """One with an image and a class of its own, that is Ready."""
    vch = OwnVCH(lab, module_kube, "conditions", address="127.0.0.12")
    module_kube.apply(image(), vm_class())
    vch.create(template={"images": ["conditions"], "classes": ["conditions"]})
    vch.ready(timeout=60)
    yield vch
    vch.delete()
    module_kube.run("delete", "podvmimage/conditions", "podvmclass/conditions")


def image(template: str = TEMPLATE) -> KubeObject:
    return made("PodVMImage", "conditions", {"source": {"inventoryTemplate": template}})


def vm_class(memory: str = "512Mi") -> KubeObject:
    return made("PodVMClass", "conditions", {"cpus": 1, "memory": memory})


def usual(vch: OwnVCH) -> None:
    vch.apply(template={"images": ["conditions"], "classes": ["conditions"]})


@pytest.fixture(autouse=True)
def _nothing_else_is_touched(
    lab: RunningLab, kube: Kube, vch: OwnVCH, request: pytest.FixtureRequest
) -> Iterator[None]:
    assert vch
    operator = lab.laboratory.state.running("operator")
    other = kube.get("virtualcontainerhost", lab.node("native"))
    yield
    assert lab.laboratory.state.running("operator") == operator, "it is the same process"
    after = kube.get("virtualcontainerhost", lab.node("native"))
    assert after is not None
    assert other is not None
    assert ready(after)
    if request.function is not test_vcenter_is_away_for_a_while:
        assert _transitions(after) == _transitions(other)


def _transitions(vch: KubeObject) -> dict[str, tuple[str, str]]:
    """What its conditions are since when; their messages may go on counting parents."""
    return {each["type"]: (each["status"], each["lastTransitionTime"]) for each in vch["status"]["conditions"]}


@pytest.mark.parametrize(
    ("spec", "kind", "reason", "candidate"),
    [
        ({"placement": {"datacenter": "DC9"}}, "PlacementResolved", "DatacenterNotFound", "DC0"),
        ({"placement": {"computeCluster": "C9"}}, "PlacementResolved", "ComputeClusterNotFound", "DC0_C0"),
        ({"placement": {"resourcePool": "P9"}}, "PlacementResolved", "ResourcePoolNotFound", "Resources"),
        ({"placement": {"folder": "F9"}}, "PlacementResolved", "FolderNotFound", "conditions"),
        ({"placement": {"hosts": ["esx9"]}}, "PlacementResolved", "HostNotFound", "DC0_C0_H0"),
        ({"placement": {"datastore": "D9"}}, "PlacementResolved", "DatastoreNotFound", "LocalDS_0"),
        ({"network": {"portGroup": "N9"}}, "PlacementResolved", "PortGroupNotFound", "VM Network"),
        ({"template": {"images": ["nobody"]}}, "ImageReady", "InvalidSpec", "conditions"),
        ({"template": {"classes": ["nobody"]}}, "ParentsReady", "InvalidSpec", "conditions"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(
    vch: OwnVCH, spec: dict[str, dict[str, object]], kind: str, reason: str, candidate: str
) -> None:
    whole = {"template": {"images": ["conditions"], "classes": ["conditions"]}}
    vch.apply(**{**whole, **{part: {**whole.get(part, {}), **fields} for part, fields in spec.items()}})
    message = vch.until(kind, "False", reason)
    (value,) = [value for fields in spec.values() for value in fields.values()]
    assert str(value).strip("[']") in message
    assert candidate in message
    usual(vch)
    vch.ready(timeout=MENDED)


def test_a_certificate_that_is_another_one_is_not_spoken_to(vch: OwnVCH, lab: RunningLab) -> None:
    true = lab.simulator.thumbprint
    wrong = ("0" if true[0] != "0" else "1") + true[1:]
    vch.apply(template={"images": ["conditions"], "classes": ["conditions"]}, vCenter={"thumbprint": wrong})
    assert wrong.replace(":", "").lower() in vch.until("VCenterAvailable", "False", "CertificateMismatch").lower()
    usual(vch)
    vch.ready(timeout=MENDED)


def test_a_server_that_does_not_answer_is_connected_to_as_soon_as_it_does(lab: RunningLab, kube: Kube) -> None:
    away = OwnVCH(lab, kube, "away", address="127.0.0.13", guests="10.77.0.230", pods="10.78.0.230")
    _, _, port = lab.simulator.address.partition(":")
    other = int(port) - 1
    away.create(vCenter={"server": f"127.0.0.1:{other}"})
    try:
        assert "refused" in away.until("VCenterAvailable", "False", "VCenterUnreachable")
        with relayed(other, int(port)):
            away.ready(timeout=MENDED)
            away.delete()
    finally:
        away.delete()


def test_a_template_that_is_not_there_is_told_with_those_that_are(vch: OwnVCH, kube: Kube) -> None:
    kube.apply(image("template-9"))
    message = vch.until("ImageReady", "False", "TemplateNotFound")
    assert "template-9" in message
    assert "template-native" in message
    kube.apply(image())
    vch.ready(timeout=MENDED)


def test_a_password_that_is_wrong_is_mended_in_the_secret(vch: OwnVCH, vcenter: VCenterControl) -> None:
    vcenter.logins(**{TENANT: PASSWORD})
    vch.log_in(TENANT, "wrong")
    vch.apply(template={"images": ["conditions"], "classes": ["conditions"]}, limits={"pods": 19})  # begins it anew
    vch.until("CredentialsValid", "False", "InvalidLogin")
    vch.log_in(TENANT, PASSWORD)
    vch.ready(timeout=MENDED)


@pytest.mark.parametrize(
    ("network", "reason", "says"),
    [
        ({"portGroup": "pods-open"}, "PortGroupNotIsolated", "has no private VLAN"),
        ({"portGroup": "VM Network"}, "PortGroupNotIsolated", "is of a standard switch"),
        ({"portGroup": "pods-open", "isolation": "None"}, "NotIsolatedBySpec", "isolation is None"),
    ],
)
def test_pods_that_are_not_kept_apart_are_told_and_can_be_started(
    vch: OwnVCH, network: dict, reason: str, says: str
) -> None:
    vch.log_in(simulator.USER, vch.lab.simulator.password)
    usual(vch)
    vch.until("PodNetworkIsolated", "True", "Isolated")
    vch.apply(template={"images": ["conditions"], "classes": ["conditions"]}, podNetwork=network)
    vch.until("PodNetworkIsolated", "False", reason, says=says)
    vch.ready(timeout=MENDED)


@pytest.fixture(name="untouched")
def _untouched(vch: OwnVCH, kube: Kube, vms: VirtualMachines) -> Iterator[KubeObject]:
    """A Pod that runs, to which nothing may happen."""
    usual(vch)
    vch.log_in(simulator.USER, vch.lab.simulator.password)
    vch.ready(timeout=60)
    kube.apply(make_pod("untouched", vch.name))
    before = kube.until("pod", "untouched", ready, timeout=START)
    (vm,) = vms.of(before["metadata"]["uid"])
    states = kube.watch("pod", "untouched", timeout=600)
    next(states)
    yield before
    after = kube.pod("untouched")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert container_status(after)["containerID"] == container_status(before)["containerID"]
    assert container_status(after)["restartCount"] == 0
    assert [each["id"] for each in vms.of(after["metadata"]["uid"])] == [vm["id"]]
    kube.run("label", "pod", "untouched", "mark=here")
    for state in states:
        assert ready(state), f"it was not Ready: {state['status']}"
        if state["metadata"]["labels"].get("mark"):
            break
    kube.delete("pod", "untouched", "--force", "--grace-period=0")


@pytest.mark.usefixtures("untouched")
def test_a_password_is_rotated_while_pods_run(vch: OwnVCH, vcenter: VCenterControl) -> None:
    vcenter.logins(**{TENANT: PASSWORD})
    vch.log_in(TENANT, PASSWORD)
    vch.apply(template={"images": ["conditions"], "classes": ["conditions"]}, limits={"pods": 17})
    vch.until("CredentialsValid", "True", "LoggedIn", says=TENANT)
    vch.ready()
    vcenter.logins(**{TENANT: "another one"})
    vcenter.end_sessions(TENANT)
    vch.until("CredentialsValid", "False", "InvalidLogin", timeout=60)  # a wait that hangs ends after half a minute
    vch.log_in(TENANT, "another one")
    vch.ready(timeout=MENDED)


@pytest.mark.usefixtures("untouched")
def test_a_lower_limit_shows_in_what_the_node_offers(vch: OwnVCH, kube: Kube) -> None:
    vch.apply(template={"images": ["conditions"], "classes": ["conditions"]}, limits={"pods": 5, "cpu": "3"})

    def so(node: KubeObject) -> bool:
        offered = node["status"]["allocatable"]
        return bool((offered["pods"], offered["cpu"]) == ("5", "3"))

    kube.until("node", vch.name, so, timeout=60, what="5 Pods and 3 CPUs")


@pytest.mark.usefixtures("untouched")
def test_an_edited_class_replaces_the_parents_and_no_pod(vch: OwnVCH, kube: Kube) -> None:
    old = {parent["status"]["moref"] for parent in vch.parents()}
    kube.apply(vm_class("768Mi"))

    for _ in kube.changes("parentvms", timeout=60):
        now = {parent["status"]["moref"] for parent in vch.parents() if parent["status"].get("frozen")}
        if len(now) == len(old) and not now & old:
            break
    else:
        raise AssertionError("the parents are not others")
    vch.ready()


@pytest.mark.usefixtures("untouched")
def test_a_node_that_an_admin_deletes_is_made_anew(vch: OwnVCH, kube: Kube) -> None:
    before = kube.get("node", vch.name)
    assert before is not None
    kube.run("delete", "node", vch.name)

    def so(node: KubeObject) -> bool:
        return bool(node["metadata"]["uid"] != before["metadata"]["uid"] and ready(node))

    after = kube.until("node", vch.name, so, timeout=40, what="a new Node that is Ready")
    assert all(taint in after["spec"]["taints"] for taint in before["spec"]["taints"])
    assert after["status"]["allocatable"]["pods"] == before["status"]["allocatable"]["pods"]


def test_vcenter_is_away_for_a_while(
    vch: OwnVCH, kube: Kube, vcenter: VCenterControl, untouched: KubeObject, figures: Figures
) -> None:
    assert untouched
    tolerates = [{"operator": "Exists"}]
    down = time.monotonic()
    with vcenter.down():
        kube.until("node", vch.name, _tainted, timeout=90, what="the network-unavailable taint")
        noticed = time.monotonic()
        node = kube.get("node", vch.name)
        assert node is not None
        assert ready(node)
        assert "VCenterAvailable" in _message(node, "NetworkUnavailable")
        assert kube.text("exec", "untouched", "--", "echo", "it runs").strip() == "it runs"
        kube.apply(make_pod("later", vch.name), make_pod("bold", vch.name, tolerations=tolerates))
        later = kube.until("pod", "later", lambda pod: condition(pod, "PodScheduled") == "False", timeout=30)
        assert "untolerated taint" in _message(later, "PodScheduled")
        waits = kube.until("pod", "bold", lambda pod: pod["status"].get("reason") == "VCenterUnreachable", timeout=30)
        assert waits["status"]["phase"] == "Pending"
        assert {"FailedCreatePodSandBox"} & {event["reason"] for event in kube.events(waits)}
        assert ready(kube.pod("untouched"))
    back = time.monotonic()
    kube.until("virtualcontainerhost", vch.name, ready, timeout=60)
    kube.until("node", vch.name, lambda node: not _tainted(node), timeout=60, what="no taint any more")
    for name in ("later", "bold"):
        kube.until("pod", name, ready, timeout=START)
    figures.note("a vCenter that hangs noticed after", f"{noticed - down:.0f} s")
    figures.note("all Pods that waited for vCenter Ready after its return", f"{time.monotonic() - back:.0f} s")
    kube.until("virtualcontainerhost", vch.lab.node("native"), ready, timeout=60)


def _tainted(node: KubeObject) -> bool:
    return any(taint["key"] == "node.kubernetes.io/network-unavailable" for taint in node["spec"].get("taints", ()))


def _message(thing: KubeObject, kind: str) -> str:
    return next(str(c["message"]) for c in thing["status"]["conditions"] if c["type"] == kind)
