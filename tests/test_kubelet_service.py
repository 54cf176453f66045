"""The Service of a virtual node's kubelet API, and what leads from it to the replica that serves."""

import pytest

from provider import errors, kubelet_service, service_feed

VCH = {
    "apiVersion": "vch.dev/v1alpha1",
    "kind": "VirtualContainerHost",
    "metadata": {"name": "production", "uid": "u-1"},
}


def test_the_service_is_the_vchs_and_has_the_kubelets_port() -> None:
    made = kubelet_service.service(VCH, "vch-system", 10250, None)
    metadata = made["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("vch-production", "vch-system")
    assert metadata["ownerReferences"] == [
        {"apiVersion": "vch.dev/v1alpha1", "kind": "VirtualContainerHost", "name": "production", "uid": "u-1"}
    ]
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "virtual-kubelet-vch"
    assert [port["port"] for port in made["spec"]["ports"]] == [10250]
    assert "selector" not in made["spec"]
    assert "clusterIP" not in made["spec"]
    assert kubelet_service.service(VCH, "x", 10250, "10.96.7.7")["spec"]["clusterIP"] == "10.96.7.7"


def test_the_slice_leads_to_one_replica_by_the_services_port() -> None:
    service = kubelet_service.service(VCH, "vch-system", 10250, None)
    found = kubelet_service.endpoint_slice(VCH, "vch-system", "10.1.2.3", 41234)
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    assert found["metadata"]["ownerReferences"] == service["metadata"]["ownerReferences"]
    assert [each["addresses"] for each in found["endpoints"]] == [["10.1.2.3"]]
    assert [(port["name"], port["port"]) for port in found["ports"]] == [(service["spec"]["ports"][0]["name"], 41234)]


@pytest.mark.parametrize("vch", ["a", "7", "pods.example.com", "x" * 63, "x" * 62 + "y", "a.b", "a-b"])
def test_every_vch_has_a_name_that_a_service_may_have(vch: str) -> None:
    made = kubelet_service.name(vch)
    assert len(made) <= 63
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert made[0].isalpha()
    assert made[-1] != "-"


def test_no_two_vchs_have_the_same_name() -> None:
    vchs = ["a.b", "a-b", "x" * 63, "x" * 62 + "y"]
    assert len({kubelet_service.name(vch) for vch in vchs}) == len(vchs)


@pytest.mark.parametrize("spec", [{}, {"clusterIP": ""}, {"clusterIP": "None"}])
def test_a_service_without_an_address_is_told_with_the_remedy(spec: dict) -> None:
    with pytest.raises(errors.ServiceUnusable, match=r"vch-system/vch-a .*delete it"):
        kubelet_service.cluster_ip({"metadata": {"namespace": "vch-system", "name": "vch-a"}, "spec": spec})


def test_guests_are_not_told_of_it() -> None:
    for kind in (service_feed.SERVICES, service_feed.ENDPOINT_SLICES):
        assert f"!{kubelet_service.KUBELET_LABEL}" in kind.query["labelSelector"].split(",")
