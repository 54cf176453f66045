"""What a virtual node says of itself on each path, under the names that a kubelet uses for a machine. Pure.

`exposition` has the samples of Pods, `node_totals` the sums over guests. Nothing here is made up: a family that a
virtual node has no truth for is left out (`go_*`; `kubernetes_build_info`, whose second version in a cluster would
alert; a machine's disks).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from provider.kubelet.node_totals import NodeTotals

Lines = dict[str, list[str]]
"""Header and samples by family."""

_RESOURCE = {
    "node_cpu_usage_seconds_total": "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    "node_memory_working_set_bytes": "[STABLE] Current working set of the node in bytes",
    "node_swap_usage_bytes": "[ALPHA] Current swap usage of the node in bytes",
}
RESOURCE_SUMMED = frozenset(_RESOURCE)

KUBELET_GAUGES = {
    "kubelet_running_pods": "Number of pods that have a running pod sandbox",
    "kubelet_running_containers": "Number of containers currently running",
    "kubelet_desired_pods": "The number of pods the kubelet is being instructed to run",
    "kubelet_active_pods": "The number of pods the kubelet considers active",
    "kubelet_working_pods": "Number of pods the kubelet is actually running",
    "kubelet_managed_ephemeral_containers": "Current number of ephemeral containers in pods managed by this kubelet",
    "kubelet_orphaned_runtime_pods_total": "Number of pods in the container runtime without a pod to run",
    "volume_manager_total_volumes": "Number of volumes in Volume Manager",
}
KUBELET_COUNTERS = {
    "kubelet_runtime_operations_total": "Cumulative number of runtime operations by operation type",
    "kubelet_runtime_operations_errors_total": "Cumulative number of runtime operation errors by operation type",
    "kubelet_run_podsandbox_errors_total": "Cumulative number of run_podsandbox operations that failed",
    "kubelet_started_pods_total": "Cumulative number of pods started",
    "kubelet_started_pods_errors_total": "Cumulative number of errors when starting pods",
    "kubelet_restarted_pods_total": "Number of pods that have been restarted",
    "kubelet_started_containers_total": "Cumulative number of containers started",
    "kubelet_started_containers_errors_total": "Cumulative number of errors when starting containers",
    "kubelet_terminated_containers_total": "Cumulative number of containers terminated",
    "kubelet_evictions": "Cumulative number of pod evictions by eviction signal",
    "kubelet_preemptions": "Cumulative number of pod preemptions by preemption resource",
    "storage_operation_errors_total": "Storage operation errors",
}
KUBELET_HISTOGRAMS = {
    "kubelet_pod_start_duration_seconds": "Duration from the kubelet seeing a pod to it starting to run",
    "kubelet_pod_start_sli_duration_seconds": "Duration to start a pod, excluding time to pull images",
    "kubelet_pod_start_total_duration_seconds": "Duration to start a pod since creation",
    "kubelet_pod_worker_duration_seconds": "Duration to sync a single pod",
    "kubelet_pod_worker_start_duration_seconds": "Duration from the kubelet seeing a pod to starting a worker",
    "kubelet_pod_status_sync_duration_seconds": "Duration to sync a pod status update",
    "kubelet_runtime_operations_duration_seconds": "Duration of runtime operations",
    "kubelet_run_podsandbox_duration_seconds": "Duration of the run_podsandbox operations",
    "kubelet_pleg_relist_duration_seconds": "Duration for relisting pods in PLEG",
    "kubelet_pleg_relist_interval_seconds": "Interval between relisting in PLEG",
    "kubelet_cgroup_manager_duration_seconds": "Duration for cgroup manager operations",
    "kubelet_image_pull_duration_seconds": "Duration to pull an image",
    "storage_operation_duration_seconds": "Storage operation duration",
}
KUBELET_SUMMED = frozenset({**KUBELET_GAUGES, **KUBELET_COUNTERS, **KUBELET_HISTOGRAMS})


@dataclass(frozen=True, slots=True)
class Machine:
    """The virtual node as a machine: what it has, and what it spends beside its guests."""

    cpu_cores: float | None = None  # None: not known yet
    memory_bytes: int | None = None
    cpu_seconds: float = 0.0  # of this process, the virtual node's share
    memory_used: int = 0  # of the parents, and the share in this process
    certificate_expires: float | None = None  # unix seconds
    orphans: int | None = None  # VMs without a Pod


def resource(totals: NodeTotals, machine: Machine, *, complete: bool) -> Lines:
    """/metrics/resource. Never zero: an idle node's parents and this process are there."""
    values = {
        "node_cpu_usage_seconds_total": totals.counter("node_cpu_usage_seconds_total") + machine.cpu_seconds,
        "node_memory_working_set_bytes": totals.gauge("node_memory_working_set_bytes") + machine.memory_used,
        "node_swap_usage_bytes": totals.gauge("node_swap_usage_bytes"),
    }
    lines = {name: _family(name, _RESOURCE[name], _kind(name), [f"{name} {value!r}"]) for name, value in values.items()}
    return lines | _error("resource_scrape_error", "[STABLE] 1 if a guest did not answer, 0 otherwise", complete)


def cadvisor(machine: Machine, *, complete: bool) -> Lines:
    """/metrics/cadvisor."""
    lines = _error("container_scrape_error", "1 if a guest did not answer, 0 otherwise", complete)
    for name, text, value in (
        ("machine_cpu_cores", "Number of logical CPU cores.", machine.cpu_cores),
        ("machine_memory_bytes", "Amount of memory installed on the machine.", machine.memory_bytes),
    ):
        if value is not None:
            lines[name] = _family(name, text, "gauge", [f"{name} {float(value)!r}"])
    return lines


def kubelet(node: str, totals: NodeTotals, machine: Machine, now: float) -> Lines:
    """/metrics: the sums of what the guests' kubelets count, and who this is."""
    lines = {
        "kubelet_node_name": _family(
            "kubelet_node_name",
            "The node's name. The count is always 1.",
            "gauge",
            [f'kubelet_node_name{{node="{node}"}} 1'],
        )
    }
    for family, text, kind in _kubelet_families():
        found = [f"{series} {_of(totals, series, kind)!r}" for series in _members(totals.series(), family)]
        if found:
            lines[family] = _family(family, text, kind, found)
    if machine.orphans is not None:
        name = "kubelet_orphaned_runtime_pods_total"
        lines[name] = _family(name, "VMs without a Pod, of the virtual node", "gauge", [f"{name} {machine.orphans}"])
    if machine.certificate_expires is not None:
        name = "kubelet_certificate_manager_server_ttl_seconds"
        left = machine.certificate_expires - now
        lines[name] = _family(name, "Seconds until the serving certificate expires", "gauge", [f"{name} {left!r}"])
    return lines


def _kubelet_families() -> Iterable[tuple[str, str, str]]:
    for kind, families in (
        ("gauge", KUBELET_GAUGES),
        ("counter", KUBELET_COUNTERS),
        ("histogram", KUBELET_HISTOGRAMS),
    ):
        for family, text in families.items():
            yield family, f"{text} (sum over the guests)", kind


def _members(series: Iterable[str], family: str) -> list[str]:
    names = {family, *(f"{family}{end}" for end in ("_bucket", "_sum", "_count"))}
    return [each for each in series if each.partition("{")[0] in names]


def _of(totals: NodeTotals, series: str, kind: str) -> float:
    return totals.gauge(series) if kind == "gauge" else totals.counter(series)


def _kind(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"


def _error(name: str, text: str, complete: bool) -> Lines:
    return {name: _family(name, text, "gauge", [f"{name} {0 if complete else 1}"])}


def _family(name: str, text: str, kind: str, samples: list[str]) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *samples]
