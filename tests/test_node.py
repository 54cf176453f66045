"""The Node is what the VCH says; what others put on it is never ours to write."""

from datetime import UTC, datetime, timedelta

import pytest

from provider import node
from provider.capacity import Resources
from provider.node import Conditions, NodeHealth, NodeOffer
from provider.parentvm import GuestFacts, PreloadedImage
from tests.builders import GIB, make_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
FINE = NodeHealth(True, "VCHReady", "fine")


def conditions(health: NodeHealth) -> dict[str, str]:
    return {each.type: each.status for each in node.node_conditions(health)}


def test_labels_of_the_vch_are_added_and_cannot_replace_ours() -> None:
    labels = node.labels("vch", make_spec(node={"labels": {"zone": "a", "type": "real"}}))
    assert labels["zone"] == "a"
    assert labels["type"] == "virtual-kubelet"
    assert labels["kubernetes.io/hostname"] == labels[node.VCH_LABEL] == "vch"
    assert "node.kubernetes.io/exclude-from-external-load-balancers" in labels


@pytest.mark.parametrize(
    ("taints", "expected"),
    [
        (None, [{"key": "virtual-kubelet.io/provider", "value": "vch", "effect": "NoSchedule"}]),
        ([], []),
        ([{"key": "a", "effect": "NoExecute"}], [{"key": "a", "effect": "NoExecute"}]),
        ([{"key": "a", "value": "b", "effect": "NoSchedule"}], [{"key": "a", "value": "b", "effect": "NoSchedule"}]),
    ],
)
def test_taints_are_the_vchs_or_the_customary_one(taints: list[dict] | None, expected: list[dict]) -> None:
    assert node.taints("vch", make_spec(node={"taints": taints})) == expected


def test_taints_are_set_at_creation_only() -> None:
    spec = make_spec(node={"annotations": {"a": "b"}})
    assert node.new_node("vch", spec)["spec"]["taints"]
    metadata = node.node_metadata("vch", spec)
    assert "spec" not in metadata
    assert metadata["metadata"]["annotations"] == {"a": "b"}
    assert set(node.node_status("vch", None, [], 10250, NodeOffer())) == {"apiVersion", "kind", "metadata", "status"}


def test_the_status_says_where_the_kubelet_api_is_and_how_much_there_is() -> None:
    offer = NodeOffer(Resources(8000, 16 * GIB, 20), Resources(7500, 15 * GIB, 20))
    status = node.node_status("vch", "192.0.2.10", [], 10250, offer)["status"]
    assert status["capacity"] == {"cpu": "8", "memory": "16777216Ki", "pods": "20"}
    assert status["allocatable"] == {"cpu": "7500m", "memory": "15728640Ki", "pods": "20"}
    assert {each["type"]: each["address"] for each in status["addresses"]} == {
        "InternalIP": "192.0.2.10",
        "Hostname": "vch",
    }
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert status["nodeInfo"]["kubeletVersion"].startswith("v1.")


def test_what_is_not_known_yet_stays_as_it_is() -> None:
    offer = NodeOffer(Resources(8000, GIB, 20), Resources(8000, GIB, 20), GuestFacts(os_image="Photon"))
    known = node.node_status("vch", "192.0.2.10", [], 10250, offer)
    assert node.node_status("vch", None, [], 10250, NodeOffer(), known) == known
    nothing = node.node_status("vch", "192.0.2.10", [], 10250, NodeOffer())["status"]
    assert nothing["allocatable"] == {"cpu": "0", "memory": "0Ki", "pods": "0"}
    new = node.node_status("vch", None, [], 10250, NodeOffer())
    assert new["status"]["addresses"] == [{"type": "Hostname", "address": "vch"}]
    assert (node.internal_ip(known), node.internal_ip(new), node.internal_ip(None)) == ("192.0.2.10", None, None)


def test_the_images_of_the_parents_are_listed_the_largest_first() -> None:
    facts = GuestFacts(images=tuple(PreloadedImage((f"app:{number}",), number) for number in range(60)))
    listed = node.images(facts)
    assert len(listed) == 50, "as many as a kubelet tells"
    assert listed[0] == {"names": ["app:59"], "sizeBytes": 59}


def test_without_vcenter_new_pods_are_kept_away_and_running_ones_are_left_alone() -> None:
    broken = NodeHealth(False, "VCenterUnreachable", "gone")
    assert conditions(FINE)["NetworkUnavailable"] == "False"
    assert conditions(broken)["NetworkUnavailable"] == "True"
    assert conditions(broken)["Ready"] == "True", "a Node that is not Ready has its Pods evicted"
    (why,) = [each for each in node.node_conditions(broken) if each.type == "NetworkUnavailable"]
    assert (why.reason, why.message) == ("VCenterUnreachable", "gone")


def test_a_node_begins_without_offering_to_start_pods() -> None:
    assert conditions(NodeHealth())["NetworkUnavailable"] == "True"


def test_a_transition_is_dated_only_when_the_status_changes() -> None:
    first = Conditions().updated(node.node_conditions(NodeHealth(False, "A", "a")), NOW)
    same = first.updated(node.node_conditions(NodeHealth(False, "B", "b")), LATER)
    changed = same.updated(node.node_conditions(FINE), LATER)
    transitions = [
        {each["type"]: each["lastTransitionTime"] for each in made.objects(LATER)}["NetworkUnavailable"]
        for made in (first, same, changed)
    ]
    assert transitions == ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"]
    assert all(each["lastHeartbeatTime"] == "2026-01-01T00:05:00Z" for each in changed.objects(LATER))


def test_a_restart_is_no_transition_and_foreign_conditions_are_left_out() -> None:
    written = Conditions().updated(node.node_conditions(FINE), NOW).objects(NOW)
    foreign = {"type": "KernelDeadlock", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    found = Conditions.of_node({"status": {"conditions": [*written, foreign, {"type": "Ready", "status": "True"}]}})
    assert "KernelDeadlock" not in found.values
    again = found.updated(node.node_conditions(FINE), LATER).objects(LATER)
    assert {each["lastTransitionTime"] for each in again} == {"2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("found", [None, {}, {"status": None}, {"status": {"conditions": None}}])
def test_a_node_without_conditions_has_none(found: dict | None) -> None:
    assert Conditions.of_node(found).values == {}


def test_the_lease_goes_with_its_node() -> None:
    lease = node.lease("vch", "node-uid", NOW)
    (owner,) = lease["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Node", "node-uid")
    assert lease["metadata"]["namespace"] == "kube-node-lease"
    assert lease["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z", "metav1.MicroTime"
    assert lease["spec"]["leaseDurationSeconds"] > 2 * node.RENEW_SECONDS


def test_times_are_whole_seconds_in_utc_and_read_back() -> None:
    there = datetime.fromisoformat("2026-01-01T02:00:00.900+02:00")
    assert node.timestamp(there) == "2026-01-01T00:00:00Z"
    assert node.parse_time("2026-01-01T00:00:00Z") == NOW
