"""What is said of the cluster's network, by what pod VMs have told; and what of a guest's words is believed."""

from typing import Any

import pytest

from provider import reachability
from provider.reachability import Failure, Reports
from provider.relay import RelayRefused

API = {"what": "APIServer", "address": "10.0.0.1", "port": 6443, "why": "Timeout"}
FAILED = Failure("APIServer", "10.0.0.1", 6443, "Timeout")


def test_a_report_is_read_in_words_of_ours() -> None:
    assert reachability.parse({"failures": [API, {**API, "why": "<b>"}]}) == (
        FAILED,
        Failure("APIServer", "10.0.0.1", 6443, "does not answer"),
    )
    assert reachability.parse({"tried": 2, "failures": []}) == ()
    assert len(reachability.parse({"failures": [API] * 1000})) == 32


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"failures": "none"},
        {"failures": [7]},
        {"failures": [{**API, "what": "Everything"}]},
        {"failures": [{**API, "address": "here"}]},
        {"failures": [{**API, "port": True}]},
        {"failures": [{**API, "port": 0}]},
    ],
)
def test_what_is_no_report_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RelayRefused):
        reachability.parse(body)


def test_without_a_pod_nothing_is_known() -> None:
    found = Reports().finding(())
    assert found is not None
    assert (found.reachable, found.reason) == (None, "NoPodYet")


def test_a_pod_whose_vm_has_said_nothing_yet_changes_nothing() -> None:
    assert Reports().finding(["a"]) is None


def test_all_that_have_looked_agree() -> None:
    reports = Reports()
    assert reports.heard("a", "default/a", ())
    assert not reports.heard("a", "default/a", ())
    found = reports.finding(["a", "b"])
    assert found is not None
    assert (found.reachable, found.reason) == (True, "Reachable")


def test_one_that_does_not_reach_them_is_told_with_the_address_the_pod_and_the_remedy() -> None:
    reports = Reports()
    reports.heard("a", "default/a", ())
    reports.heard("b", "default/b", (FAILED,))
    reports.heard("c", "default/c", (FAILED, Failure("ClusterDNS", "10.96.0.10", 53, "Refused")))
    found = reports.finding(["a", "b", "c"])
    assert found is not None
    assert (found.reachable, found.reason) == (False, "EndpointsUnreachable")
    assert "the API server at 10.0.0.1:6443 does not answer (tried from the VM of Pod default/b)" in found.message
    assert (
        "the cluster's DNS at 10.96.0.10:53 refuses the connection (tried from the VM of Pod default/c)"
        in found.message
    )
    assert "2 of 3 Pods' VMs say so" in found.message
    assert "spec.network.clusterDNS.servers" in found.message
    now = reports.finding(["a"])
    assert now is not None
    assert now.reachable, "what is gone has nothing to say any more"


def test_a_message_is_bounded() -> None:
    reports = Reports()
    for number in range(100):
        failures = tuple(Failure("APIServer", f"10.0.{number}.{last}", 443, "Timeout") for last in range(32))
        reports.heard(f"uid-{number}", f"default/web-{number}", failures)
    found = reports.finding([f"uid-{number}" for number in range(100)])
    assert found is not None
    assert len(found.message) < 1000
    assert "and 3195 more" in found.message
