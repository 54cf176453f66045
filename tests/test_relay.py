"""A guest is believed about its own Pod's status and about nothing else."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider import relay
from provider.relay import STRATEGIC_MERGE, RelayRefused, RelayRequest
from tests.builders import UID, make_container, make_pod


def patched(status: Any, pod: dict | None = None, **patch: Any) -> dict:
    body = {"status": status, **patch}
    found = relay.check_status_patch(body, STRATEGIC_MERGE, pod or make_pod(), pod_ips=["10.0.0.5"], host_ip="10.0.0.1")
    assert found["metadata"] == {"uid": UID}
    status_found: dict = found["status"]
    return status_found


def token(account: str = "default", **spec: Any) -> dict:
    pod = make_pod(volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}}]}}])
    return relay.check_token_request(account, {"spec": spec}, pod)


def test_addresses_are_imposed_whatever_the_guest_says() -> None:
    status = patched({"podIP": "1.1.1.1", "hostIP": "1.1.1.1", "podIPs": [{"ip": "1.1.1.1"}]})
    assert (status["podIP"], status["hostIP"]) == ("10.0.0.5", "10.0.0.1")
    assert status["podIPs"] == [{"ip": "10.0.0.5"}]


def test_of_a_pods_addresses_the_first_is_the_primary() -> None:
    assert relay.addresses(["10.1.0.5", "fd00:10::5"], "10.0.0.1") == {
        "podIP": "10.1.0.5",
        "podIPs": [{"ip": "10.1.0.5"}, {"ip": "fd00:10::5"}],
        "hostIP": "10.0.0.1",
        "hostIPs": [{"ip": "10.0.0.1"}],
    }


def test_only_what_a_kubelet_says_of_a_status_passes() -> None:
    status = patched(
        {
            "phase": "Running",
            "nominatedNodeName": "other",
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "False"}],
        }
    )
    assert status["phase"] == "Running"
    assert "nominatedNodeName" not in status
    assert [condition["type"] for condition in status["conditions"]] == ["Ready"]


def test_a_kubelet_may_take_back_its_own_condition_and_no_other() -> None:
    gone = [{"$patch": "delete", "type": "PodResizePending"}, {"$patch": "delete", "type": "example.com/gate"}]
    assert patched({"conditions": gone})["conditions"] == gone[:1]


@pytest.mark.parametrize("directive", ["replace", "merge", None, {}])
def test_the_list_of_conditions_cannot_be_replaced_as_a_whole(directive: Any) -> None:
    with pytest.raises(RelayRefused, match="directive"):
        patched({"conditions": [{"$patch": directive, "type": "Ready", "status": "True"}]})


@pytest.mark.parametrize("field", ["$patch", "$retainKeys", "$deleteFromPrimitiveList/x", "$setElementOrder/podIPs"])
def test_a_directive_about_the_whole_status_does_not_pass(field: str) -> None:
    assert field not in patched({"phase": "Running", field: ["replace"]})


def test_the_order_of_conditions_passes_with_conditions_only() -> None:
    order = {"$setElementOrder/conditions": [{"type": "Ready"}, {"type": "PodScheduled"}]}
    assert patched({"conditions": [{"type": "Ready"}], **order}).items() >= order.items()
    assert "$setElementOrder/conditions" not in patched(order)


def test_nothing_but_the_status_passes() -> None:
    body = {"metadata": {"labels": {"a": "b"}, "ownerReferences": []}, "spec": {"x": 1}, "status": {"phase": "Running"}}
    found = relay.check_status_patch(body, STRATEGIC_MERGE, make_pod(), pod_ips=["10.0.0.5"], host_ip="10.0.0.1")
    assert set(found) == {"metadata", "status"}
    assert found["metadata"] == {"uid": UID}


@pytest.mark.parametrize(
    ("status", "patch"),
    [
        ({"phase": "Paused"}, {}),
        ({"phase": "Running"}, {"metadata": {"uid": "another"}}),
        ({"containerStatuses": [{"name": "not-there"}]}, {}),
        ({"containerStatuses": "x"}, {}),
        ({"conditions": {"type": "Ready"}}, {}),
        (None, {}),
    ],
)
def test_a_status_that_cannot_be_this_pods_is_refused(status: Any, patch: dict) -> None:
    with pytest.raises(RelayRefused):
        patched(status, **patch)


def test_a_terminal_phase_stays() -> None:
    failed = make_pod(status={"phase": "Failed"})
    assert patched({"phase": "Failed"}, failed)["phase"] == "Failed"
    with pytest.raises(RelayRefused, match="after Failed"):
        patched({"phase": "Running"}, failed)


@pytest.mark.parametrize("old", ["Succeeded", "Failed"])
@pytest.mark.parametrize("new", ["Pending", "Running", "Succeeded", "Failed", "Unknown", None, "", []])
def test_from_a_terminal_phase_no_way_leads_back_not_even_over_none(old: str, new: Any) -> None:
    pod = make_pod(status={"phase": old})
    if new == old:
        assert patched({"phase": new}, pod)["phase"] == old
    else:
        with pytest.raises(RelayRefused, match="phase"):
            patched({"phase": new}, pod)


@pytest.mark.parametrize("old", [{}, {"phase": "Pending"}, {"phase": "Running"}])
def test_before_the_end_a_phase_may_go_anywhere_and_need_not_be_told(old: dict) -> None:
    for new in ("Pending", "Running", "Succeeded", "Failed"):
        assert patched({"phase": new}, make_pod(status=old))["phase"] == new
    assert "phase" not in patched({"message": "x"}, make_pod(status=old))


@pytest.mark.parametrize("kind", ["application/json-patch+json", "application/merge-patch+json", "text/plain", ""])
def test_a_status_comes_as_the_one_patch_that_leaves_others_conditions_alone(kind: str) -> None:
    with pytest.raises(RelayRefused, match="type"):
        relay.check_status_patch({"status": {"conditions": []}}, kind, make_pod(), pod_ips=["1"], host_ip="2")


@pytest.mark.parametrize(("namespace", "name"), [("kube-system", "web"), ("default", "other")])
def test_another_pod_is_nobodys_business(namespace: str, name: str) -> None:
    with pytest.raises(RelayRefused, match="not this VM's Pod"):
        relay.check_subject(RelayRequest("patchStatus", namespace, name, "", {}), make_pod())


def test_an_event_is_about_the_pod_and_by_the_kubelet() -> None:
    event = {
        "metadata": {"name": "web.1", "namespace": "kube-system"},
        "involvedObject": {"kind": "Pod", "uid": UID, "name": "other", "fieldPath": "spec.containers{main}"},
        "source": {"component": "root"},
        "reason": "Started",
    }
    found = relay.check_event(event, make_pod(), "vch")
    assert found["metadata"] == {"name": "web.1", "namespace": "default"}
    assert found["source"] == {"component": "kubelet", "host": "vch"}
    assert found["involvedObject"]["name"] == "web"
    assert found["reason"] == "Started"


@pytest.mark.parametrize(
    "event",
    [
        {"metadata": {"name": "web.1"}, "involvedObject": {"kind": "Node", "name": "vch"}},
        {"metadata": {"name": "web.1"}, "involvedObject": {"kind": "Pod", "uid": "another"}},
        {"metadata": {"name": "other.1"}, "involvedObject": {"kind": "Pod", "uid": UID}},
        {},
    ],
)
def test_an_event_about_anything_else_is_refused(event: dict) -> None:
    with pytest.raises(RelayRefused):
        relay.check_event(event, make_pod(), "vch")


OTHERS = ["other.17", "web", "web.", "web.other.17", "webx.17", ".17", "web.17/../x", "web.17?x", "web.17\n", "web.x"]


@pytest.mark.parametrize("name", OTHERS)
def test_an_event_that_is_named_like_another_pods_is_refused(name: str) -> None:
    event = {"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "uid": UID}}
    with pytest.raises(RelayRefused, match="event"):
        relay.check_event(event, make_pod(), "vch")
    with pytest.raises(RelayRefused, match="event"):
        relay.check_event_patch(name, {"count": 2}, STRATEGIC_MERGE, make_pod())


def test_an_event_of_a_pod_with_dots_in_its_name_is_its_own() -> None:
    pod = make_pod("web.other")
    assert relay.check_event_patch("web.other.17ab", {"count": 2}, STRATEGIC_MERGE, pod) == {"count": 2}


def test_an_update_of_an_event_changes_no_subject_and_no_labels() -> None:
    patch = {"count": 2, "message": "m", "metadata": {"labels": {}}, "involvedObject": {}, "source": {}, "$patch": "x"}
    assert relay.check_event_patch("web.17", patch, STRATEGIC_MERGE, make_pod()) == {"count": 2, "message": "m"}


def test_an_update_of_an_event_is_a_merge_patch() -> None:
    with pytest.raises(RelayRefused, match="type"):
        relay.check_event_patch("web.17", {"count": 2}, "application/json-patch+json", make_pod())


def test_an_event_carries_no_labels_and_no_owner() -> None:
    metadata = {"name": "web.17", "labels": {"a": "b"}, "ownerReferences": [{}], "annotations": {}, "finalizers": ["x"]}
    event = {"metadata": metadata, "involvedObject": {"kind": "Pod", "uid": UID}, "related": {"kind": "Node"}}
    found = relay.check_event(event, make_pod(), "vch")
    assert set(found["metadata"]) == {"name", "namespace"}
    assert "related" not in found
    assert (found["reportingComponent"], found["reportingInstance"]) == ("kubelet", "vch")


def test_a_token_is_bound_to_the_pod() -> None:
    spec = token(audiences=["vault"], expirationSeconds=600, boundObjectRef={"kind": "Pod", "name": "other"})["spec"]
    assert spec["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": UID}
    assert spec["expirationSeconds"] == 600


def test_a_token_of_another_account_or_audience_is_refused() -> None:
    with pytest.raises(RelayRefused, match="admin"):
        token("admin", audiences=["vault"])
    with pytest.raises(RelayRefused, match="audiences"):
        token(audiences=["https://kubernetes.default.svc"])
    with pytest.raises(RelayRefused, match="audiences"):
        token(audiences=[])


def api_access(*audiences: str | None, **spec: Any) -> dict:
    """A Pod with a token for each audience; None: the API server's own."""
    sources = [{"serviceAccountToken": {"path": "t"} | ({"audience": one} if one else {})} for one in audiences]
    return make_pod(volumes=[{"name": "t", "projected": {"sources": sources}}], **spec)


@pytest.mark.parametrize("asked", [{}, {"audiences": None}, {"audiences": []}])
def test_a_token_for_the_api_server_names_no_audience(asked: dict) -> None:
    found = relay.check_token_request("default", {"spec": asked}, api_access(None))
    assert found["spec"]["audiences"] == []


@pytest.mark.parametrize(
    "asked", [["vault", "other"], ["vault", "vault"], ["other"], [], [""], "vault", [["vault"]], {}]
)
def test_a_token_for_any_other_set_of_audiences_is_refused(asked: Any) -> None:
    with pytest.raises(RelayRefused):
        relay.check_token_request("default", {"spec": {"audiences": asked}}, api_access("vault"))


@pytest.mark.parametrize("account", [None, ""])
def test_a_pod_that_names_no_account_has_the_default_one(account: str | None) -> None:
    pod = api_access(None, serviceAccountName=account)
    assert relay.check_token_request("default", {}, pod)["kind"] == "TokenRequest"
    with pytest.raises(RelayRefused, match="ServiceAccount"):
        relay.check_token_request("", {}, pod)


def test_a_pod_without_a_projected_token_gets_none() -> None:
    with pytest.raises(RelayRefused, match="audiences"):
        relay.check_token_request("default", {}, make_pod())


@pytest.mark.parametrize("lifetime", ["3600", None, [], {}])
def test_a_lifetime_that_is_no_number_is_left_to_the_api_server(lifetime: Any) -> None:
    assert "expirationSeconds" not in token(audiences=["vault"], expirationSeconds=lifetime)["spec"]


@pytest.mark.parametrize(
    ("key", "sort"),
    [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", "ephemeralContainers"),
    ],
)
def test_a_status_speaks_of_containers_that_the_pod_has_of_that_sort(key: str, sort: str) -> None:
    pod = make_pod(containers=[])
    pod["spec"][sort] = [make_container("mine")]
    assert patched({key: [{"name": "mine", "ready": True}]}, pod)[key] == [{"name": "mine", "ready": True}]
    for others in ({"name": "main"}, {"name": None}, {"name": ["mine"]}, {}):
        with pytest.raises(RelayRefused, match="does not have"):
            patched({key: [others]}, pod)
    for garbage in (None, "x", {"name": "mine"}, ["mine"], 1):
        with pytest.raises(RelayRefused, match="no list"):
            patched({key: garbage}, pod)


def test_a_pod_goes_only_when_somebody_deleted_it() -> None:
    pod = make_pod()
    with pytest.raises(RelayRefused, match="nobody deleted"):
        relay.check_delete({}, pod)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert relay.check_delete({"preconditions": {"uid": UID}}, pod) == UID
    with pytest.raises(RelayRefused, match="another"):
        relay.check_delete({"preconditions": {"uid": "another"}}, pod)


def test_a_body_of_a_megabyte_is_refused() -> None:
    with pytest.raises(RelayRefused, match="bytes"):
        relay.check_size(RelayRequest("patchStatus", "default", "web", "", {"x": "y" * relay.BODY_LIMIT}))


@pytest.mark.parametrize(("depth", "passes"), [(relay.DEPTH_LIMIT - 2, True), (relay.DEPTH_LIMIT, False), (980, False)])
@pytest.mark.parametrize("kind", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_a_body_that_is_nested_for_no_reason_is_refused(depth: int, passes: bool, kind: Callable[[Any], Any]) -> None:
    body: Any = "end"
    for _ in range(depth):
        body = kind(body)
    request = RelayRequest("patchStatus", "default", "web", "", {"status": body})
    with contextlib.nullcontext() if passes else pytest.raises(RelayRefused, match="levels"):
        relay.check_size(request)


KEYS = st.sampled_from(
    ["metadata", "uid", "name", "status", "phase", "conditions", "containerStatuses", "involvedObject", "spec",
     "audiences", "preconditions", "type", "kind", "fieldPath"]
)  # fmt: skip
GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "Pod", "web.1", "Running", UID]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


TEXT = st.text() | st.characters(categories=["Cs"])  # JSON can say half a surrogate pair


@given(TEXT, TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=2))
def test_whatever_a_request_is_called_it_is_not_this_pods(verb: str, namespace: str, name: str, body: dict) -> None:
    request = RelayRequest(verb, namespace, name, "", body)
    relay.check_size(request)
    with pytest.raises(RelayRefused) as refused:
        relay.check_subject(request, make_pod("nothing.like.it"))
    json.dumps(relay.refusal(str(refused.value)).object)
    with pytest.raises(RelayRefused):
        relay.check_status_patch({}, name, make_pod(), pod_ips=["1"], host_ip="2")
    with pytest.raises(RelayRefused):
        relay.check_event_patch(name, {}, STRATEGIC_MERGE, make_pod())
    with pytest.raises(RelayRefused):
        relay.check_token_request(name, {}, make_pod())


@given(st.dictionaries(KEYS, GARBAGE, max_size=5))
def test_garbage_is_refused_and_never_a_defect(body: dict) -> None:
    pod = make_pod()
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    for check in (
        lambda: relay.check_status_patch(body, STRATEGIC_MERGE, pod, pod_ips=["1"], host_ip="2"),
        lambda: relay.check_event(body, pod, "vch"),
        lambda: relay.check_event_patch("web.1", body, STRATEGIC_MERGE, pod),
        lambda: relay.check_token_request("default", body, pod),
        lambda: relay.check_delete(body, pod),
    ):
        try:
            check()
        except RelayRefused:
            continue
