"""JSON put together from the guests': each guest speaks for its own Pod only."""

import json
from typing import Any

import pytest

from provider.kubelet import merge
from tests.builders import make_pod


def summary(answers: list[tuple[dict, bytes]], now: str, **beside: Any) -> bytes:
    return merge.summary("vch", [(pod, merge.parsed(text)) for pod, text in answers], now, merge.Beside(**beside))


def test_summaries_are_put_together_and_what_is_malformed_is_left_out() -> None:
    pod = make_pod()
    entry = {"podRef": {"name": "web", "namespace": "default", "uid": pod["metadata"]["uid"]}, "cpu": {}}
    foreign = {"podRef": {"name": "x", "namespace": "y", "uid": "another"}}
    good = {"node": {"cpu": {"usageNanoCores": 5}}, "pods": [entry, foreign]}
    answers = [(pod, json.dumps(good).encode()), (pod, b"no json"), (pod, b"[]")]
    found = json.loads(summary(answers, "2026-01-01T00:00:00Z"))
    assert found["pods"] == [entry]
    assert found["node"]["nodeName"] == "vch"
    assert found["node"]["cpu"]["usageNanoCores"] == 5


NOW = "2026-01-01T00:00:00Z"


def of_node(**fields: Any) -> dict:
    """The node of a summary that one guest and a truthful one make."""
    truth = {"startTime": "2025-06-01T00:00:00Z", "cpu": {"usageNanoCores": 5}, "memory": {"workingSetBytes": 7}}
    answers = [
        (make_pod(), json.dumps({"node": fields}).encode()),
        (make_pod("b"), json.dumps({"node": truth}).encode()),
    ]
    node: dict = json.loads(summary(answers, NOW))["node"]
    return node


def test_cpu_and_memory_of_the_guests_are_summed() -> None:
    node = of_node(cpu={"usageNanoCores": 2, "other": 1}, memory={"workingSetBytes": 3, "rssBytes": 4})
    assert node["cpu"] == {"time": NOW, "usageNanoCores": 7}
    assert node["memory"] == {"time": NOW, "workingSetBytes": 10, "rssBytes": 4}


@pytest.mark.parametrize("nonsense", [-1, 2**63, 1.5, True, "9", None, [], {}])
def test_an_amount_that_is_none_is_not_added(nonsense: Any) -> None:
    assert of_node(cpu={"usageNanoCores": nonsense})["cpu"]["usageNanoCores"] == 5
    assert of_node(cpu=nonsense)["cpu"]["usageNanoCores"] == 5


def test_a_sum_stays_within_64_bits() -> None:
    assert of_node(cpu={"usageNanoCores": 2**63 - 1})["cpu"]["usageNanoCores"] == 2**63 - 1


@pytest.mark.parametrize(
    ("told", "start"),
    [
        ("2025-01-31T23:59:59Z", "2025-01-31T23:59:59Z"),
        ("2025-07-01T00:00:00Z", "2025-06-01T00:00:00Z"),
        ("2025-1-01T00:00:00Z", "2025-06-01T00:00:00Z"),
        ("2025-02-30T00:00:00Z", "2025-06-01T00:00:00Z"),
        ("2025-01-01", "2025-06-01T00:00:00Z"),
        ("", "2025-06-01T00:00:00Z"),
        (0, "2025-06-01T00:00:00Z"),
        (None, "2025-06-01T00:00:00Z"),
    ],
)
def test_a_node_is_as_old_as_its_oldest_guest_that_says_so(told: Any, start: str) -> None:
    assert of_node(startTime=told)["startTime"] == start


@pytest.mark.parametrize(
    "answer", [b"", b"5", b"null", b"[" * 100_000, b"\xff", b'{"pods": 5, "node": 5}', b'{"pods": [5, {"podRef": 5}]}']
)
def test_an_answer_that_is_no_summary_does_not_spoil_the_others(answer: bytes) -> None:
    entry = {"podRef": {"uid": make_pod()["metadata"]["uid"]}}
    good = json.dumps({"pods": [entry], "node": {"cpu": {"usageNanoCores": 5}}}).encode()
    found = json.loads(summary([(make_pod("b"), answer), (make_pod(), good)], NOW))
    assert (found["pods"], found["node"]["cpu"]["usageNanoCores"]) == ([entry], 5)


def test_a_pod_has_one_entry() -> None:
    entry = {"podRef": {"uid": make_pod()["metadata"]["uid"]}}
    answer = json.dumps({"pods": [entry, entry]}).encode()
    assert json.loads(summary([(make_pod(), answer)], NOW))["pods"] == [entry]


def test_pods_are_the_api_servers() -> None:
    found = json.loads(merge.pod_list([make_pod("b"), make_pod("a")]))
    assert [pod["metadata"]["name"] for pod in found["items"]] == ["a", "b"]
