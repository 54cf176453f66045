"""Prometheus' text from many guests: each speaks for its own Pod only, and no line of it spoils the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.kubelet import exposition, merge
from tests.builders import make_pod

ANY = ("",)


def merged(*answers: tuple[dict, bytes]) -> str:
    return exposition.merge([exposition.read(pod, text, ANY) for pod, text in answers]).decode()


def metrics(pod: str, cpu: float, extra: str = "") -> bytes:
    return (
        "# HELP pod_cpu_usage_seconds_total CPU\n# TYPE pod_cpu_usage_seconds_total counter\n"
        f'pod_cpu_usage_seconds_total{{namespace="default",pod="{pod}"}} {cpu}\n'
        f"# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total {cpu}\n{extra}"
    ).encode()


def test_samples_of_each_pod_stand_side_by_side() -> None:
    text = merged((make_pod("a"), metrics("a", 1.5)), (make_pod("b"), metrics("b", 2)))
    assert text.count("# TYPE pod_cpu_usage_seconds_total counter") == 1
    assert 'pod="a"} 1.5' in text
    assert 'pod="b"} 2' in text
    assert "node_cpu" not in text


def test_a_guest_cannot_speak_for_another_pod() -> None:
    text = merged((make_pod("a"), metrics("b", 1)))
    assert 'pod="b"' not in text


def test_no_guests_no_samples() -> None:
    assert merged() == ""


def test_the_header_of_a_family_stands_once_before_all_its_samples() -> None:
    text = merged(*((make_pod(name), metrics(name, 1)) for name in "abc"))
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

    lines = merged((make_pod("a"), probes("a")), (make_pod("b"), probes("b"))).splitlines()
    assert lines[0] == "# TYPE probe histogram"
    assert lines[9] == "# TYPE probe_total counter"
    assert [line.split("{")[0] for line in lines[10:]] == ["probe_total", "probe_total"]


OWN = 'namespace="default",pod="web"'
GOOD = f'x{{{OWN},path="a\\\\b\\"}}\\n,pod=\\"other"}} 1e-3 1700000000000'


@pytest.mark.parametrize("value", ["0", "-1.5", "1e9", ".5", "1.", "NaN", "+Inf", "-Inf"])
def test_any_number_passes(value: str) -> None:
    line = f"x{{{OWN}}} {value}"
    assert merged((make_pod(), line.encode())) == f"{line}\n"


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
        f'x{{instance="10.0.0.1:10250",{OWN}}} 1',
        f'x{{node="other",{OWN}}} 1',
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
    assert merged((make_pod(), f"{line}\n{GOOD}\n".encode())) == f"{GOOD}\n"


@pytest.mark.parametrize(
    "header", ["# TYPE x bogus", "# TYPE x", "# TYPE x counter more", "# HELP", "#", "# TYPE 1 gauge"]
)
def test_a_header_that_is_none_is_left_out(header: str) -> None:
    assert merged((make_pod(), f"{header}\n{GOOD}".encode())) == f"{GOOD}\n"


def test_a_guest_cannot_tear_anothers_family_apart() -> None:
    torn = f"# TYPE pod_cpu gauge\npod_cpu_usage_seconds_total{{{OWN}}} 1\n".encode()
    text = merged((make_pod(), torn), (make_pod("b"), metrics("b", 2)))
    assert text.index("# TYPE pod_cpu_usage_seconds_total") < text.index("pod_cpu_usage_seconds_total{")


@pytest.mark.parametrize("nonsense", ["NaN", "+Inf", "-5", "1e999", "x", "1 2 3"])
def test_nonsense_of_the_node_is_not_heard(nonsense: str) -> None:
    text = (
        f'# TYPE cpu counter\ncpu {nonsense}\ncpu{{le="1"}} 2\ncpu{{le="<1>"}} 3\ncpu{{node="x"}} 3\nother 4\n'.encode()
    )
    assert exposition.read(make_pod(), text, (), frozenset({"cpu"})).sums == {'cpu{le="1"}': 2.0}


def test_a_guest_has_no_words_but_those_that_are_meant_for_its_pod() -> None:
    lie = f'kubelet_node_name{{{OWN},node="other"}} 1\ncontainer_x{{{OWN}}} 1\n'.encode()
    assert list(exposition.read(make_pod(), lie, ("container_",)).samples) == ["container_x"]


def test_a_claims_statistics_are_those_of_a_claim_of_the_pod() -> None:
    lines = [
        'kubelet_volume_stats_used_bytes{namespace="default",persistentvolumeclaim="mine"} 1',
        'kubelet_volume_stats_used_bytes{namespace="default",persistentvolumeclaim="theirs"} 2',
        'kubelet_volume_stats_used_bytes{namespace="other",persistentvolumeclaim="mine"} 3',
        'kubelet_volume_stats_used_bytes{namespace="default",persistentvolumeclaim="mine",x="y"} 4',
    ]
    text = "\n".join(["# TYPE kubelet_volume_stats_used_bytes gauge", *lines]).encode()
    said = exposition.read(make_pod(), text, (), frozenset({"kubelet_x"}), {"mine"})
    assert said.samples == {"kubelet_volume_stats_used_bytes": lines[:1]}


@given(st.binary() | st.text(alphabet='x{}=",# 1\n\\').map(str.encode))
def test_no_bytes_of_a_guest_are_a_defect(text: bytes) -> None:
    merged((make_pod(), text))
    exposition.read(make_pod(), text, (), frozenset({"x"}), {"x"})
    merge.summary("vch", [(make_pod(), merge.parsed(text))], "2026-01-01T00:00:00Z")
