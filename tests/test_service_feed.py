"""Guests get of Services what kube-proxy reads, and nothing that would open a port in them."""

from typing import Any

import pytest

from provider import service_feed
from provider.service_feed import ENDPOINT_SLICES, SERVICE_CIDRS, SERVICES


def service(**spec: Any) -> dict:
    return {
        "metadata": {
            "namespace": "default",
            "name": "web",
            "uid": "u",
            "resourceVersion": "7",
            "labels": {"app": "web"},
            "annotations": {"note": "x" * 1000},
            "managedFields": [{}],
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.96.0.5",
            "clusterIPs": ["10.96.0.5"],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "selector": {"app": "web"},
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": 30080}],
            **spec,
        },
        "status": {"loadBalancer": {}},
    }


def endpoint_slice(*endpoints: dict, **changes: Any) -> dict:
    return {
        "metadata": {
            "namespace": "default",
            "name": "web-x",
            "uid": "u",
            "resourceVersion": "8",
            "labels": {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "x"},
            "ownerReferences": [{}],
        },
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        **changes,
    }


def endpoint(address: str = "10.78.0.30", **changes: Any) -> dict:
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": "n1",
        "targetRef": {"kind": "Pod", "name": "web-0", "uid": "u"},
        "zone": "a",
        **changes,
    }


def test_an_ordinary_service_is_an_address_and_ports() -> None:
    assert SERVICES.strip(service()) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"clusterIP": "10.96.0.5", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"clusterIP": ""}, {"type": "ExternalName"}])
def test_a_service_without_an_address_does_not_travel(spec: dict) -> None:
    assert SERVICES.strip(service(**spec)) is None


def test_a_service_of_another_proxy_travels_for_the_kubelet_and_says_so() -> None:
    other = service()
    other["metadata"]["labels"]["service.kubernetes.io/service-proxy-name"] = "cilium"
    stripped = SERVICES.strip(other)
    assert stripped is not None
    assert stripped["metadata"]["labels"] == {"service.kubernetes.io/service-proxy-name": "cilium"}


def test_what_changes_how_kube_proxy_routes_is_kept() -> None:
    affinity = {"clientIP": {"timeoutSeconds": 60}}
    told = service(
        clusterIPs=["10.96.0.5", "fd00::5"],
        ipFamilies=["IPv4", "IPv6"],
        sessionAffinity="ClientIP",
        sessionAffinityConfig=affinity,
        internalTrafficPolicy="Local",
        externalIPs=["192.0.2.1"],
        loadBalancerSourceRanges=["10.0.0.0/8"],
    )
    told["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.2", "ipMode": "VIP"}, {"hostname": "lb"}]}}
    stripped = SERVICES.strip(told)
    assert stripped is not None
    assert stripped["spec"]["clusterIPs"] == ["10.96.0.5", "fd00::5"]
    assert (stripped["spec"]["sessionAffinity"], stripped["spec"]["sessionAffinityConfig"]) == ("ClientIP", affinity)
    assert (stripped["spec"]["internalTrafficPolicy"], stripped["spec"]["externalIPs"]) == ("Local", ["192.0.2.1"])
    assert stripped["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert stripped["status"] == {"loadBalancer": {"ingress": [{"ip": "192.0.2.2", "ipMode": "VIP"}]}}


def test_nothing_that_opens_a_port_in_a_guest_travels() -> None:
    told = service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=30999)
    text = service_feed.encoded(SERVICES.strip(told) or {})
    assert not any(word in text for word in (b"30080", b"30999", b"odePort", b"externalTrafficPolicy"))


def test_an_endpoint_is_its_address_and_node() -> None:
    assert ENDPOINT_SLICES.strip(endpoint_slice(endpoint())) == {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "default", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.78.0.30"], "nodeName": "n1"}],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ({}, {}),
        ({"ready": False, "serving": True, "terminating": True}, {"ready": False, "terminating": True}),
        ({"ready": False, "serving": False, "terminating": True}, None),
        ({"ready": False, "serving": True, "terminating": False}, None),
    ],
)
def test_only_endpoints_that_may_get_connections_travel(conditions: dict, kept: dict | None) -> None:
    stripped = ENDPOINT_SLICES.strip(endpoint_slice(endpoint(conditions=conditions)))
    assert stripped is not None
    assert [each.get("conditions", {}) for each in stripped["endpoints"]] == ([] if kept is None else [kept])


def test_hints_are_kept() -> None:
    hints = {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}
    stripped = ENDPOINT_SLICES.strip(endpoint_slice(endpoint(hints=hints)))
    assert stripped is not None
    assert stripped["endpoints"][0]["hints"] == hints


def test_slices_of_no_service_or_of_names_do_not_travel() -> None:
    assert ENDPOINT_SLICES.strip(endpoint_slice(addressType="FQDN")) is None
    orphan = endpoint_slice()
    orphan["metadata"]["labels"] = {}
    assert ENDPOINT_SLICES.strip(orphan) is None


def test_of_a_service_cidr_its_ranges_are_kept() -> None:
    told = {"metadata": {"name": "kubernetes", "uid": "u"}, "spec": {"cidrs": ["10.96.0.0/16"]}, "status": {}}
    stripped = SERVICE_CIDRS.strip(told)
    assert stripped is not None
    assert (stripped["metadata"], stripped["spec"]) == ({"name": "kubernetes"}, {"cidrs": ["10.96.0.0/16"]})


def test_a_service_of_three_endpoints_costs_a_guest_less_than_600_bytes() -> None:
    size = 0
    for number in range(1000):
        told, listed = service(), endpoint_slice(*(endpoint(f"10.78.{number % 250}.{each}") for each in (10, 11, 12)))
        told["metadata"] |= {"namespace": f"team-{number % 20}", "name": f"service-{number:04}"}
        listed["metadata"] |= {"namespace": f"team-{number % 20}", "name": f"service-{number:04}-abcde"}
        listed["metadata"]["labels"]["kubernetes.io/service-name"] = f"service-{number:04}"
        for kind, thing in ((SERVICES, told), (ENDPOINT_SLICES, listed)):
            size += len(service_feed.encoded(kind.strip(thing) or {}))
    assert size / 1000 < 600
