"""Node-wide answers put together from the guests': each guest speaks for its own Pod only."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_the_header_of_a_family_stands_once_before_all_its_samples() -> None:
    text = merge.metrics([(make_pod(name), metrics(name, 1)) for name in "abc"]).decode()
    head, help_, kind = text.partition(
        "# HELP pod_cpu_usage_seconds_total CPU\n# TYPE pod_cpu_usage_seconds_total counter\n"
    )
    assert help_ not in head
    assert kind.splitlines() == [f'pod_cpu_usage_seconds_total{{namespace="default",pod="{name}"}} 1' for name in "abc"]


def test_a_histogram_stays_in_one_block() -> None:
    def probes(pod: str) -> bytes:
        of = f'namespace="default",pod="{pod}"'
        return (
            f'# TYPE probe histogram\nprobe_bucket{{{of},le="1"}} 1\nprobe_bucket{{{of},le="+Inf"}} 2\n'
            f"probe_sum{{{of}}} 0.5\nprobe_count{{{of}}} 2\n# TYPE probe_total counter\nprobe_total{{{of}}} 2\n"
        ).encode()

    lines = merge.metrics([(make_pod("a"), probes("a")), (make_pod("b"), probes("b"))]).decode().splitlines()
    assert lines[0] == "# TYPE probe histogram"
    assert lines[9] == "# TYPE probe_total counter"
    assert [line.split("{")[0] for line in lines[10:]] == ["probe_total", "probe_total"]


OWN = 'namespace="default",pod="web"'
GOOD = f'x{{{OWN},path="a\\\\b\\"}}\\n,pod=\\"other"}} 1e-3 1700000000000'


@pytest.mark.parametrize("value", ["0", "-1.5", "1e9", ".5", "1.", "NaN", "+Inf", "-Inf"])
def test_any_number_passes(value: str) -> None:
    line = f"x{{{OWN}}} {value}"
    assert merge.metrics([(make_pod(), line.encode())]).decode() == f"{line}\n"


@pytest.mark.parametrize(
    "line",
    [
        f"x{{{OWN}}} one",
        f"x{{{OWN}}} 1_000",
        f"x{{{OWN}}} 1e999",
        f"x{{{OWN}}} ٣",
        f"x{{{OWN}}} nan",
        f"x{{{OWN}}}",
        f"x{{{OWN}}} 1 2 3",
        f"x{{{OWN}}} 1 1.5",
        f"x{{{OWN}}} 1 99999999999999999999",
        f"x{{{OWN}}}  1",
        f"x{{{OWN}}} 1\r",
        f"x{{{OWN},junk}} 1",
        f"x{{{OWN}, y=1}} 1",
        f'x{{{OWN},y="\\x"}} 1',
        f'x{{pod="other",{OWN}}} 1',
        f'x{{__name__="y",{OWN}}} 1',
        f'x{{zz="{OWN}"}} 1',
        f"1x{{{OWN}}} 1",
        f"x{{{OWN}",
        "x 1",
        "x{} 1",
        'x{namespace="other",pod="web"} 1',
        'x{pod="web"} 1',
    ],
)
def test_a_line_that_would_spoil_the_whole_answer_is_left_out(line: str) -> None:
    assert merge.metrics([(make_pod(), f"{line}\n{GOOD}\n".encode())]).decode() == f"{GOOD}\n"


@pytest.mark.parametrize(
    "header", ["# TYPE x bogus", "# TYPE x", "# TYPE x counter more", "# HELP", "#", "# TYPE 1 gauge"]
)
def test_a_header_that_is_none_is_left_out(header: str) -> None:
    assert merge.metrics([(make_pod(), f"{header}\n{GOOD}".encode())]).decode() == f"{GOOD}\n"


def test_a_guest_cannot_tear_anothers_family_apart() -> None:
    torn = f"# TYPE pod_cpu gauge\npod_cpu_usage_seconds_total{{{OWN}}} 1\n".encode()
    text = merge.metrics([(make_pod(), torn), (make_pod("b"), metrics("b", 2))]).decode()
    assert text.index("# TYPE pod_cpu_usage_seconds_total") < text.index("pod_cpu_usage_seconds_total{")


@pytest.mark.parametrize("nonsense", ["NaN", "+Inf", "-5", "1e300"])
def test_a_guest_cannot_spoil_what_is_summed_up_for_the_node(nonsense: str) -> None:
    lie = f"node_cpu_usage_seconds_total {nonsense}\n".encode()
    text = merge.metrics([(make_pod(), lie), (make_pod("b"), metrics("b", 2))]).decode()
    assert "node_cpu_usage_seconds_total 2.0\n" in text


@given(st.binary() | st.text(alphabet='x{}=",# 1\n\\').map(str.encode))
def test_no_bytes_of_a_guest_are_a_defect(text: bytes) -> None:
    merge.metrics([(make_pod(), text)])
    merge.summary("vch", [(make_pod(), text)], "2026-01-01T00:00:00Z")


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


NOW = "2026-01-01T00:00:00Z"


def of_node(**fields: Any) -> dict:
    """The node of a summary that one guest and a truthful one make."""
    truth = {"startTime": "2025-06-01T00:00:00Z", "cpu": {"usageNanoCores": 5}, "memory": {"workingSetBytes": 7}}
    answers = [
        (make_pod(), json.dumps({"node": fields}).encode()),
        (make_pod("b"), json.dumps({"node": truth}).encode()),
    ]
    node: dict = json.loads(merge.summary("vch", answers, NOW))["node"]
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
    found = json.loads(merge.summary("vch", [(make_pod("b"), answer), (make_pod(), good)], NOW))
    assert (found["pods"], found["node"]["cpu"]["usageNanoCores"]) == ([entry], 5)


def test_a_pod_has_one_entry() -> None:
    entry = {"podRef": {"uid": make_pod()["metadata"]["uid"]}}
    answer = json.dumps({"pods": [entry, entry]}).encode()
    assert json.loads(merge.summary("vch", [(make_pod(), answer)], NOW))["pods"] == [entry]


def test_pods_are_the_api_servers() -> None:
    found = json.loads(merge.pod_list([make_pod("b"), make_pod("a")]))
    assert [pod["metadata"]["name"] for pod in found["items"]] == ["a", "b"]
