"""A Prometheus of the laboratory, which scrapes as kube-prometheus-stack's does: the real one, from Debian's package.

That one is built without discovery in Kubernetes. So it is told of the Nodes that there are when it starts, as the
prometheus-operator makes Endpoints of them: InternalIP and port 10250, whatever else the Node says. Paths, labels and
what is dropped are that chart's. Of the operator is scraped what our chart's ServiceMonitor says, as the
prometheus-operator would make a job of it, and the rules are those of its PrometheusRule.
"""

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.lab import chart, kubectl
from e2e.lab.paths import Paths
from e2e.lab.state import State
from e2e.lab.vch_operator import METRICS

ADDRESS = "127.0.0.1:9090"
"""Inside the laboratory's network namespace."""

KUBELET_PATHS = ("/metrics", "/metrics/cadvisor", "/metrics/probes", "/metrics/resource")
"""What kube-prometheus-stack scrapes of a kubelet; the last one only if `kubelet.serviceMonitor.resource` is set."""

_INTERVAL, _TIMEOUT = "10s", "10s"
"""That chart's own time-out, and an interval that is no shorter: a busy laboratory's guests take their time."""
_ACCOUNT = {"name": "prometheus", "namespace": "default"}
_DROPPED = (
    ("__name__", "container_cpu_(load_average_10s|system_seconds_total|user_seconds_total)"),
    ("__name__", "container_memory_(mapped_file|swap)"),
    ("__name__", "container_(file_descriptors|tasks_state|threads_max)"),
    ("__name__", "container_spec.*"),
    ("id,pod", ".+,"),
)
"""Of cAdvisor's series, as that chart's values have it: labels, and what they must not be."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The Prometheus of one laboratory."""

    paths: Paths
    state: State

    def start(self) -> None:
        """Returns when it is ready to answer; call it in the laboratory's network namespace, as all here."""
        folder = self.paths.state / "prometheus"
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / "token"
        token.write_text(_token(self.paths))
        token.chmod(0o600)
        nodes = json.loads(kubectl.run(self.paths, "get", "nodes", "--output=json"))["items"]
        config = folder / "prometheus.yaml"
        rules = folder / "rules.yaml"
        rules.write_text(yaml.safe_dump(_monitoring(self.paths, "PrometheusRule")["spec"]))
        config.write_text(yaml.safe_dump(configuration(nodes, token, _operator(self.paths), rules)))
        self.state.start(
            "prometheus",
            [
                *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
                *(f"--web.listen-address={ADDRESS}", "--log.level=warn"),
            ],
            namespace=self.paths.namespace,
            ready=_ready,
        )

    def stop(self) -> None:
        self.state.stop("prometheus")

    def samples(self, expression: str) -> list[dict[str, Any]]:
        """What an instant query returns now; values that are no number are left out."""
        found = self._ask("query", query=expression)["result"]
        return [each for each in found if not math.isnan(float(each["value"][1]))]

    def history(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """What a range query returns: `metric` and `values` of each series. Times are Unix', in seconds."""
        found = self._ask("query_range", query=expression, start=f"{start}", end=f"{end}", step=f"{step}")
        series: list[dict[str, Any]] = found["result"]
        return series

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped, and how that went."""
        found: list[dict[str, Any]] = self._ask("targets", state="active")["activeTargets"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The alerts, and how their evaluation went."""
        return [rule for group in self._ask("rules", type="alert")["groups"] for rule in group["rules"]]

    def _ask(self, what: str, **arguments: str) -> Any:
        data = urllib.parse.urlencode(arguments).encode()
        url, body = f"http://{ADDRESS}/api/v1/{what}", None
        if what.startswith("query"):
            body = data  # long queries do not fit into a URL
        else:
            url += f"?{data.decode()}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{arguments}: {error.read().decode()}") from error


def configuration(
    nodes: Sequence[dict[str, Any]], token: Path, operator: dict[str, Any], rules: Path
) -> dict[str, Any]:
    """What is scraped, the operator's job among it, and which rules there are."""
    kubelets = [
        {
            "job_name": f"kubelet{path}",
            "scheme": "https",
            "metrics_path": path,
            "honor_labels": True,
            "authorization": {"credentials_file": str(token)},
            "tls_config": {"insecure_skip_verify": True},
            "static_configs": [_kubelet(node) for node in nodes],
            "relabel_configs": [{"source_labels": ["__metrics_path__"], "target_label": "metrics_path"}],
            "metric_relabel_configs": _dropped() if path == "/metrics/cadvisor" else [],
        }
        for path in KUBELET_PATHS
    ]
    return {
        "global": {"scrape_interval": _INTERVAL, "scrape_timeout": _TIMEOUT, "evaluation_interval": _INTERVAL},
        "rule_files": [str(rules)],
        "scrape_configs": [*kubelets, operator, {"job_name": "prometheus", "static_configs": [{"targets": [ADDRESS]}]}],
    }


def _operator(paths: Paths) -> dict[str, Any]:
    """The job of the chart's ServiceMonitor; the Service that it selects would lead to the address that is scraped."""
    monitor, service = _monitoring(paths, "ServiceMonitor"), _monitoring(paths, "Service")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    known = {"interval": "scrape_interval", "scrapeTimeout": "scrape_timeout", "path": "metrics_path"}
    assert endpoint.keys() <= {"port", *known}, "what else it says would have to be made part of the job"
    labels = _of_a_service(service["metadata"]["namespace"], service["metadata"]["name"])
    return {
        "job_name": "operator",
        "static_configs": [{"targets": [METRICS], "labels": {**labels, "endpoint": endpoint["port"]}}],
        **{ours: endpoint[theirs] for theirs, ours in known.items() if theirs in endpoint},
    }


def _monitoring(paths: Paths, kind: str) -> dict[str, Any]:
    """The one object of that kind that the chart makes where monitoring is wanted."""
    wanted = ("metrics.serviceMonitor", "prometheusRule")
    flags = [f"--set={each}.enabled=true,{each}.renderMode=alwaysRender" for each in wanted]
    made = (yaml.safe_load(text) for _, text in chart.rendered(paths, *flags))
    (found,) = (each for each in made if each and each["kind"] == kind)
    return dict(found)


def _kubelet(node: dict[str, Any]) -> dict[str, Any]:
    (address,) = (each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    labels = {**_of_a_service("kube-system", "kubelet"), "endpoint": "https-metrics", "node": node["metadata"]["name"]}
    return {"targets": [f"{address}:10250"], "labels": labels}


def _of_a_service(namespace: str, service: str) -> dict[str, str]:
    return {"job": service, "namespace": namespace, "service": service, "endpoint": "metrics"}


def _dropped() -> list[dict[str, Any]]:
    return [
        {"action": "drop", "source_labels": labels.split(","), "separator": ",", "regex": regex}
        for labels, regex in _DROPPED
    ]


def _token(paths: Paths) -> str:
    """Of an account that may scrape kubelets, as kube-prometheus-stack's may."""
    may = [{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}]
    rbac = "rbac.authorization.k8s.io"
    kubectl.apply(
        paths,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _ACCOUNT},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": "prometheus"}, "rules": may},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "prometheus"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "prometheus"},
            "subjects": [{"kind": "ServiceAccount", **_ACCOUNT}],
        },
    )
    return kubectl.run(
        paths, "create", "token", _ACCOUNT["name"], f"--namespace={_ACCOUNT['namespace']}", "--duration=24h"
    ).strip()


def _ready() -> bool:
    try:
        with urllib.request.urlopen(f"http://{ADDRESS}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
