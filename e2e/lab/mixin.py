"""Which series of kubelets kubernetes-mixin's dashboards and rules read. Facts, to be held against a virtual node.

Read in kubernetes-monitoring/kubernetes-mixin at aa38e2b: `dashboards/resources/queries/{node,pod,namespace}`,
`dashboards/network-usage/queries/pod-total`, `dashboards/kubelet`, `rules/{apps,kubelet,node}`, `alerts/kubelet`. The
series of kube-state-metrics and of node_exporter that they read, too, are not of a kubelet.

Selectors of jobs are kube-prometheus-stack's: `job="kubelet"` and the path.
"""

from dataclasses import dataclass

CADVISOR, KUBELET = "/metrics/cadvisor", "/metrics"

_OF_CONTAINERS = 'container!="", image!=""'
_DEVICES = r'container!="", device=~"(/dev.+)|mmcblk.p.+|nvme.+|rbd.+|sd.+|vd.+|xvd.+|dm-.+|dasd.+"'


@dataclass(frozen=True, slots=True)
class Read:
    """Series that are read; `used_by` says for what."""

    path: str
    name: str
    matchers: str
    used_by: str

    def selector(self, node: str) -> str:
        own = f", {self.matchers}" if self.matchers else ""
        return f'{self.name}{{job="kubelet", metrics_path="{self.path}", node="{node}"{own}}}'


def _all(path: str, used_by: str, matchers: str, *names: str) -> tuple[Read, ...]:
    return tuple(Read(path, name, matchers, used_by) for name in names)


READ = (
    *_all(
        *(CADVISOR, "CPU of node, namespace, pod (recorded by the rules)", _OF_CONTAINERS),
        "container_cpu_usage_seconds_total",
    ),
    *_all(
        *(CADVISOR, "memory of node, namespace, pod", _OF_CONTAINERS),
        *("container_memory_working_set_bytes", "container_memory_rss", "container_memory_cache"),
        "container_memory_swap",
    ),
    *_all(
        *(CADVISOR, "CPU throttling of a pod", 'container!=""'),
        *("container_cpu_cfs_throttled_periods_total", "container_cpu_cfs_periods_total"),
    ),
    *_all(
        *(CADVISOR, "network of namespace and pod", ""),
        *(
            f"container_network_{way}_{what}_total"
            for way in ("receive", "transmit")
            for what in ("bytes", "packets", "packets_dropped")
        ),
    ),
    *_all(
        *(CADVISOR, "storage of namespace and pod", _DEVICES),
        *("container_fs_reads_total", "container_fs_writes_total"),
        *("container_fs_reads_bytes_total", "container_fs_writes_bytes_total"),
    ),
    *_all(KUBELET, "kubelet; every join of rules and alerts", "", "kubelet_node_name"),
    *_all(KUBELET, "kubelet: running", "", "kubelet_running_pods"),
    *_all(KUBELET, "kubelet: running", 'container_state="running"', "kubelet_running_containers"),
    *_all(KUBELET, "kubelet: volumes", 'state="actual_state_of_world"', "volume_manager_total_volumes"),
    *_all(KUBELET, "kubelet: volumes", 'state="desired_state_of_world"', "volume_manager_total_volumes"),
    *_all(
        *(KUBELET, "kubelet: operations", ""),
        *("kubelet_runtime_operations_total", "kubelet_runtime_operations_duration_seconds_bucket"),
        "kubelet_runtime_operations_errors_total",
    ),
    *_all(
        *(KUBELET, "kubelet: pod start, alert KubeletPodStartUpLatencyHigh", ""),
        *("kubelet_pod_start_duration_seconds_count", "kubelet_pod_start_duration_seconds_bucket"),
        *("kubelet_pod_worker_duration_seconds_count", "kubelet_pod_worker_duration_seconds_bucket"),
    ),
    *_all(
        *(KUBELET, "kubelet: storage operations", ""),
        *("storage_operation_duration_seconds_count", "storage_operation_duration_seconds_bucket"),
        "storage_operation_errors_total",
    ),
    *_all(
        *(KUBELET, "kubelet: cgroup manager", ""),
        *("kubelet_cgroup_manager_duration_seconds_count", "kubelet_cgroup_manager_duration_seconds_bucket"),
    ),
    *_all(
        *(KUBELET, "kubelet: PLEG, alert KubeletPlegDurationHigh", ""),
        *("kubelet_pleg_relist_duration_seconds_count", "kubelet_pleg_relist_duration_seconds_bucket"),
        "kubelet_pleg_relist_interval_seconds_bucket",
    ),
    *_all(KUBELET, "kubelet: requests", 'code=~"2.."', "rest_client_requests_total"),
    *_all(KUBELET, "kubelet: requests", "", "rest_client_request_duration_seconds_bucket"),
    *_all(KUBELET, "kubelet: process", "", "process_resident_memory_bytes", "process_cpu_seconds_total"),
    *_all(KUBELET, "kubelet: process", "", "go_goroutines"),
    *_all(KUBELET, "kubelet", "", "kubelet_node_config_error"),
    *_all(KUBELET, "alert KubeNodeEviction", "", "kubelet_evictions"),
    *_all(
        *(KUBELET, "alerts on certificates", ""),
        *("kubelet_certificate_manager_server_ttl_seconds", "kubelet_server_expiration_renew_errors"),
    ),
)
