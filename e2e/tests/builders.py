"""Pods and what goes with them, with good defaults: a test shows only what matters to it."""

from typing import Any

from e2e.tests.kube import KubeObject

BUSYBOX = "vch.dev/busybox:1"
FOREVER = "trap 'exit 0' TERM; while true; do sleep 3600 & wait $!; done"
"""A shell that idles and ends at once when asked to."""


def make_container(name: str = "main", script: str = FOREVER, **fields: Any) -> KubeObject:
    """A container that runs a shell script."""
    return {"name": name, "image": BUSYBOX, "command": ["/bin/sh", "-c", script], **fields}


def make_pod(name: str, node: str, *containers: KubeObject, **spec: Any) -> KubeObject:
    """A Pod for a virtual node; `spec` overrides."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": make_pod_spec(node, *containers, **spec),
    }


def make_pod_spec(node: str, *containers: KubeObject, **spec: Any) -> KubeObject:
    """The spec of such a Pod, for a template."""
    return {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"key": "virtual-kubelet.io/provider", "operator": "Exists"}],
        "terminationGracePeriodSeconds": 10,
        "containers": list(containers) or [make_container()],
        **spec,
    }


def make_config_map(name: str, **data: str) -> KubeObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def make_secret(name: str, **data: str) -> KubeObject:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def make_job(name: str, node: str, script: str) -> KubeObject:
    """A Job that is tried once."""
    template = {"spec": make_pod_spec(node, make_container(script=script), restartPolicy="Never")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    }


def make_stateful_set(name: str, node: str, replicas: int = 1) -> KubeObject:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": make_pod_spec(node)},
        },
    }


def make_deployment(name: str, node: str, replicas: int, **spec: Any) -> KubeObject:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": make_pod_spec(node, **spec)},
        },
    }


def field_env(name: str, path: str) -> KubeObject:
    """An environment variable from the downward API."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def secret_env(name: str, secret: str, key: str) -> KubeObject:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
