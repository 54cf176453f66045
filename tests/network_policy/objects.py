"""Policies, Namespaces and Pods as the API server has them, saying only what the test is about."""

from typing import Any

import yaml

from provider.network_policy import Cluster, Firewall, firewall_of, parse_policy, pod_facts, selecting

CLUSTER_NAMESPACES = {"default": {}, "other": {"project": "myproject"}}


def make_policy(spec: str | dict, name: str = "policy", namespace: str = "default") -> dict:
    """From a spec's YAML, as the documentation writes it."""
    read = yaml.safe_load(spec) if isinstance(spec, str) else spec
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "resourceVersion": "1"},
        "spec": read,
    }


def make_namespace(name: str, **labels: str) -> dict:
    """With the label that the API server gives every namespace."""
    return {"metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/metadata.name": name, **labels}}}


def make_peer(
    name: str,
    *ips: str,
    namespace: str = "default",
    labels: dict | None = None,
    ports: dict[str, int | tuple[str, int]] | None = None,
    phase: str = "Running",
    meta: dict | None = None,
    **spec: Any,
) -> dict:
    """A Pod; `ports` are its named ones, TCP unless a protocol is given."""
    named = [
        {"name": port, "containerPort": number}
        if isinstance(number, int)
        else {"name": port, "protocol": number[0], "containerPort": number[1]}
        for port, number in (ports or {}).items()
    ]
    return {
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": f"{namespace}-{name}",
            "resourceVersion": "1",
            "labels": labels or {},
            **(meta or {}),
        },
        "spec": {"containers": [{"name": "main", "ports": named}], **spec},
        "status": {"phase": phase, "podIP": ips[0] if ips else "", "podIPs": [{"ip": ip} for ip in ips]},
    }


def firewall(pod: dict, policies: list[dict], pods: list[dict], namespaces: list[dict] | None = None) -> Firewall:
    """What the objects come to for one Pod."""
    cluster = Cluster()
    for namespace in namespaces or [make_namespace(name, **labels) for name, labels in CLUSTER_NAMESPACES.items()]:
        cluster.namespace_seen(namespace["metadata"]["name"], namespace["metadata"]["labels"])
    for each in pods:
        cluster.pod_seen(pod_facts(each))
    facts = pod_facts(pod)
    return firewall_of(facts.ports, selecting(facts, map(parse_policy, policies)), cluster)
