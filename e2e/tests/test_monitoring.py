"""Whatever our dashboards and alerts, and those of kubernetes-mixin, ask a real Prometheus for, it knows.

Pods start, work, are looked into, are refused and end while it scrapes; then each query has to return numbers. When is
left open, since a busy machine takes its time; what is not. A query that cannot return any here is on a list, with why.
"""

import contextlib
import time
from collections.abc import Iterator

import pytest

from e2e.lab import mixin, queries
from e2e.lab.prometheus import KUBELET_PATHS, Prometheus
from e2e.lab.vch_operator import HOSTS
from e2e.tests import catalog
from e2e.tests.builders import FOREVER, make_container, make_pod
from e2e.tests.kube import Kube, NeverHappened, in_phase, running
from e2e.tests.running_lab import RunningLab
from e2e.tests.test_standby import PULLED, edit_class
from e2e.tests.virtual_machines import VirtualMachines

START = 240
SETTLES = 240
"""Seconds after the last Pod within which all series are there."""

BUSY = (
    "mkdir /www; httpd -p 8080 -h /www; while true; do echo x >> /cache/file; wget -q -O /dev/null 127.0.0.1:8080; done"
)

BOARDS = [queries.dashboard(path) for path in queries.DASHBOARDS]
PANELS = [query for board in BOARDS for query in queries.of_dashboard(board)]
ALERTS = queries.of_alerts()

NO_FAULTS = "nothing fails in vCenter here"
NEVER: dict[str, str] = {
    "VCH / Operator / Steps that failed, by step and reason / A": "no step has to fail",
    "VCH / vCenter / Dangling VMs / B": "no VM is left behind by its Pod",
    "VCH / vCenter / Faults / A": NO_FAULTS,
    "VCH / Virtual node / Operations that failed / A": "the guests' container runtimes do not fail here",
}
"""Queries of dashboards that return nothing here."""

NOT_HERE: dict[str, str] = {
    'vch_vcenter_requests_total{fault!=""}': NO_FAULTS,
    'vch_vcenter_logins_total{result!="success"}': NO_FAULTS,
    "vch_node_heartbeats_withheld_total": "the operator does not hang",
    "vch_mass_destroy_brakes_total": "nothing disappears in mass",
    "vch_step_failures_total": "no step has to fail",
}
"""Series of alerts that are not there here: counters of what does not happen."""

NOT_OF_A_VIRTUAL_NODE: dict[str, str] = {
    "container_memory_swap": "kube-prometheus-stack drops it",
    "go_goroutines": "no program in Go serves the kubelet API",
    "kubelet_node_config_error": "kubelets have not had it since Kubernetes 1.24 (dynamic configuration)",
    "storage_operation_errors_total": "kubelets have not had it since Kubernetes 1.21",
    "kubelet_runtime_operations_errors_total": "the guests' container runtimes do not fail here",
    "kubelet_evictions": "nothing is evicted here",
    **dict.fromkeys(
        (f"container_fs_{what}_total" for what in ("reads", "writes", "reads_bytes", "writes_bytes")),
        "native guests have no block device of their own; not looked at on QEMU guests",
    ),
    "kubelet_server_expiration_renew_errors": "no renewal fails here",
    "rest_client_request_duration_seconds_bucket": "of the operator's own /metrics only",
}
"""Of what kubernetes-mixin reads."""


@pytest.fixture(name="prometheus", scope="module")
def _prometheus(lab: RunningLab) -> Iterator[Prometheus]:
    prometheus = Prometheus(lab.laboratory.paths, lab.laboratory.state)
    prometheus.start()
    yield prometheus
    prometheus.stop()


@pytest.fixture(name="deadline", scope="module")
def _deadline(
    prometheus: Prometheus, lab: RunningLab, module_kube: Kube, vms: VirtualMachines, node: str
) -> Iterator[float]:
    """Pods have lived and died under Prometheus' eyes; the instant until which it may take to have seen all."""
    seen(prometheus, f'vch_pods{{vch="{node}"}}', START)
    base, fork = HOSTS["native"].image, catalog.image("watched-fork", fork={"from": HOSTS["native"].image})
    template = {"images": [base, "watched-fork"], "classes": [base]}
    edit_class(module_kube, base, standby=1)
    try:
        seen(prometheus, f'vch_standby_clones{{vch="{node}", state="ready"}} > 0', START)
        for number in range(4):
            live(module_kube, prometheus, node, f"busy-{number}")
        for number in range(2):
            refused(module_kube, prometheus, node, f"refused-{number}")
        end(module_kube, prometheus, node, "busy-0")
        end(module_kube, prometheus, node, "busy-1")
        provisioned = f'vch_parent_provision_duration_seconds_count{{vch="{node}"}}'
        if not total(prometheus, provisioned):
            # An operator that was started a moment ago: what is first seen as 1 has no increase.
            first = catalog.image("watched-first", fork={"from": base})
            offer = {"images": [base, "watched-first"], "classes": [base]}
            with catalog.offered(module_kube, node, [first], template=offer):
                seen(prometheus, f"sum({provisioned}) > 0", START)
        before = total(prometheus, provisioned)
        with catalog.offered(module_kube, node, [fork], template=template), streaming(module_kube, "busy-2"):
            catalog.parent(module_kube, node, "watched-fork", base)
            seen(prometheus, f'sum(vch_parent_provision_duration_seconds_count{{vch="{node}"}}) > {before}', START)
            yield time.monotonic() + SETTLES
    finally:
        edit_class(module_kube, base, standby=0)


def live(kube: Kube, prometheus: Prometheus, node: str, name: str) -> None:
    """A Pod that works and is looked into, and whose start Prometheus has seen."""
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    busy = make_container(
        "main",
        BUSY,
        resources=resources,
        image=PULLED,
        readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 2},
        volumeMounts=[{"name": "cache", "mountPath": "/cache"}],
    )
    pod = make_pod(name, node, busy, make_container("idle", FOREVER), volumes=[{"name": "cache", "emptyDir": {}}])
    before = total(prometheus, f'vch_pod_start_duration_seconds_count{{vch="{node}", result="success"}}')
    kube.apply(pod)
    kube.until("pod", name, running, timeout=START)
    kube.run("exec", name, "-c", "main", "--", "true")
    kube.run("logs", name, "-c", "main")
    seen(prometheus, f'sum(vch_pod_start_duration_seconds_count{{vch="{node}", result="success"}}) > {before}', START)


def refused(kube: Kube, prometheus: Prometheus, node: str, name: str) -> None:
    """A Pod that no pod VM can be for, and Prometheus has seen that."""
    before = total(prometheus, f'vch_pod_start_errors_total{{vch="{node}"}}')
    kube.apply(make_pod(name, node, hostPID=True))
    kube.until("pod", name, in_phase("Failed"), timeout=START)
    seen(prometheus, f'sum(vch_pod_start_errors_total{{vch="{node}"}}) > {before}', START)


def end(kube: Kube, prometheus: Prometheus, node: str, name: str) -> None:
    before = total(prometheus, f'vch_pod_termination_duration_seconds_count{{vch="{node}"}}')
    kube.delete("pod", name)
    kube.gone("pod", name, timeout=START)
    seen(prometheus, f'sum(vch_pod_termination_duration_seconds_count{{vch="{node}"}}) > {before}', START)


@contextlib.contextmanager
def streaming(kube: Kube, name: str) -> Iterator[None]:
    """A client follows what a container says, until the block ends."""
    following = kube.start("logs", "-f", name, "-c", "main")
    try:
        yield
    finally:
        following.kill()
        following.communicate()


def total(prometheus: Prometheus, selector: str) -> float:
    """Now; nothing is 0."""
    return sum(float(each["value"][1]) for each in prometheus.samples(f"sum({selector})"))


def seen(prometheus: Prometheus, expression: str, timeout: float) -> None:
    """Returns when the query returns something: Prometheus has no watch."""
    until(prometheus, expression, time.monotonic() + timeout)


def until(prometheus: Prometheus, expression: str, deadline: float) -> None:
    while not prometheus.samples(expression):
        if time.monotonic() > deadline:
            raise NeverHappened(f"no data: {expression}")
        time.sleep(1)


@pytest.fixture(name="variables", scope="module")
def _variables(node: str) -> dict[str, str]:
    """What a user would have chosen: the native node, and everything. Rates reach back to the first Pod."""
    everything = dict.fromkeys(("cluster", "server", "namespace"), ".*")
    return {**everything, "vch": node, "node": node, "__rate_interval": "30m", "__range": "30m"}


@pytest.mark.parametrize("query", PANELS, ids=[query.where for query in PANELS])
def test_each_panel_has_data(
    prometheus: Prometheus, deadline: float, variables: dict[str, str], query: queries.Query
) -> None:
    if query.where in NEVER:
        pytest.skip(NEVER[query.where])
    until(prometheus, queries.filled_in(query.expression, variables), deadline)


@pytest.mark.parametrize("query", ALERTS, ids=[query.where for query in ALERTS])
def test_each_alert_sees_the_series_that_it_judges(
    prometheus: Prometheus, deadline: float, query: queries.Query
) -> None:
    for selector in queries.selectors(query.expression):
        if str(selector) not in NOT_HERE:
            until(prometheus, f"last_over_time({selector}[30m])", deadline)


def test_no_alert_fires_where_all_is_well(prometheus: Prometheus, deadline: float) -> None:
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == {query.where for query in ALERTS}
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] == "err"} == {}
    fires = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert fires <= {"VCHPodStartFailures"}, "Pods were refused, but nothing else was wrong"


@pytest.mark.parametrize(
    "read", mixin.READ, ids=[f"{read.used_by}: {read.name} {read.matchers}" for read in mixin.READ]
)
def test_kubernetes_mixin_finds_what_it_reads(
    prometheus: Prometheus, deadline: float, node: str, read: mixin.Read
) -> None:
    if read.name in NOT_OF_A_VIRTUAL_NODE:
        pytest.skip(NOT_OF_A_VIRTUAL_NODE[read.name])
    until(prometheus, read.selector(node), deadline)


def test_every_path_of_every_virtual_node_is_scraped(prometheus: Prometheus, deadline: float) -> None:
    for path in KUBELET_PATHS:
        until(prometheus, f'up{{job="kubelet", metrics_path="{path}"}} == 1', deadline)
    broken = {each["scrapeUrl"]: each["lastError"] for each in prometheus.targets() if each["health"] == "down"}
    assert broken == {}


def test_prometheus_refuses_no_sample(prometheus: Prometheus, deadline: float) -> None:
    """No series is there twice in one scrape, and none goes back in time."""
    for reason in ("duplicate_timestamp", "out_of_order", "out_of_bounds"):
        assert total(prometheus, f"prometheus_target_scrapes_sample_{reason}_total") == 0, reason


def test_a_node_is_told_once(prometheus: Prometheus, deadline: float) -> None:
    """What kubernetes-mixin's joins rest on: one `kubelet_node_name` for each instance, one instance for each node."""
    until(prometheus, "kubelet_node_name", deadline)
    assert prometheus.samples("count by (instance) (kubelet_node_name) > 1") == []
    assert prometheus.samples("count by (node) (kubelet_node_name) > 1") == []
