"""Leases as they are written: a version with every update, and who has had it since when."""

from datetime import UTC, datetime

from provider.kube import leases
from provider.kube.leases import Lease, Wanted, _lease, _object
from provider.tenure import LeaseRecord

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
NOW_TEXT = "2026-01-02T03:04:05.000678Z"


def make_lease(holder: str = "me") -> Lease:
    return Lease("vch-a", leases.VCH, LeaseRecord(holder, "7", 15.0), transitions=3, acquired="then")


def test_the_first_lease_has_no_version_and_goes_with_its_owner() -> None:
    body = _object(Wanted("vch-a", leases.VCH, "me", 15, None, {"uid": "u"}), "vch-system", NOW)
    assert body["metadata"] == {
        "name": "vch-a",
        "namespace": "vch-system",
        "labels": {"vch.dev/lease": "vch"},
        "ownerReferences": [{"uid": "u"}],
    }
    assert body["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": NOW_TEXT,
        "renewTime": NOW_TEXT,
        "leaseTransitions": 1,
    }


def test_a_renewal_keeps_when_and_how_often_it_was_acquired() -> None:
    body = _object(Wanted("vch-a", leases.VCH, "me", 15, make_lease()), "vch-system", NOW)
    assert body["metadata"]["resourceVersion"] == "7"
    assert (body["spec"]["acquireTime"], body["spec"]["renewTime"]) == ("then", NOW_TEXT)
    assert body["spec"]["leaseTransitions"] == 3


def test_another_holder_is_a_transition_and_nobody_is_none() -> None:
    taken = _object(Wanted("vch-a", leases.VCH, "me", 15, make_lease("other")), "vch-system", NOW)
    assert (taken["spec"]["acquireTime"], taken["spec"]["leaseTransitions"]) == (NOW_TEXT, 4)
    freed = _object(Wanted("vch-a", leases.VCH, "", 15, make_lease()), "vch-system", NOW)
    assert (freed["spec"]["holderIdentity"], freed["spec"]["leaseTransitions"]) == ("", 3)


def test_what_is_written_is_read_again() -> None:
    body = _object(Wanted("vch-operator-me", leases.REPLICA, "me", 15, None), "vch-system", NOW)
    body["metadata"]["resourceVersion"] = "8"
    assert _lease(body) == Lease("vch-operator-me", leases.REPLICA, LeaseRecord("me", "8", 15.0), 1, NOW_TEXT)
    assert body["metadata"]["labels"]["vch.dev/operator"] == "true"


def test_a_lease_of_others_that_says_nothing_counts_for_a_while() -> None:
    assert _lease({"metadata": {"name": "x", "resourceVersion": "1"}}).record == LeaseRecord("", "1", 60.0)
