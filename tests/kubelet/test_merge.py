"""Node-wide answers put together from the guests': each guest speaks for its own Pod only."""

import json

from provider.kubelet import merge
from tests.builders import make_pod


def metrics(pod: str, cpu: float, extra: str = "") -> bytes:
    return (
        "# HELP pod_cpu_usage_seconds_total CPU\n# TYPE pod_cpu_usage_seconds_total counter\n"
        f'pod_cpu_usage_seconds_total{{namespace="default",pod="{pod}"}} {cpu}\n'
        f"# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total {cpu}\n{extra}"
    ).encode()


def test_samples_of_each_pod_stand_side_by_side_and_the_nodes_are_summed() -> None:
    text = merge.metrics([(make_pod("a"), metrics("a", 1.5)), (make_pod("b"), metrics("b", 2))]).decode()
    assert text.count("# TYPE pod_cpu_usage_seconds_total counter") == 1
    assert 'pod="a"} 1.5' in text
    assert 'pod="b"} 2' in text
    assert "node_cpu_usage_seconds_total 3.5" in text


def test_a_guest_cannot_speak_for_another_pod() -> None:
    text = merge.metrics([(make_pod("a"), metrics("b", 1))]).decode()
    assert 'pod="b"' not in text


def test_no_guests_no_samples() -> None:
    assert merge.metrics([]) == b""


def test_summaries_are_put_together_and_what_is_malformed_is_left_out() -> None:
    pod = make_pod()
    entry = {"podRef": {"name": "web", "namespace": "default", "uid": pod["metadata"]["uid"]}, "cpu": {}}
    foreign = {"podRef": {"name": "x", "namespace": "y", "uid": "another"}}
    good = {"node": {"cpu": {"usageNanoCores": 5}}, "pods": [entry, foreign]}
    answers = [(pod, json.dumps(good).encode()), (pod, b"no json"), (pod, b"[]")]
    found = json.loads(merge.summary("vch", answers, "2026-01-01T00:00:00Z"))
    assert found["pods"] == [entry]
    assert found["node"]["nodeName"] == "vch"
    assert found["node"]["cpu"]["usageNanoCores"] == 5


def test_pods_are_the_api_servers() -> None:
    found = json.loads(merge.pod_list([make_pod("b"), make_pod("a")]))
    assert [pod["metadata"]["name"] for pod in found["items"]] == ["a", "b"]
