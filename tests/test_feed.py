"""A guest is given what its Pod names, and nothing else."""

import pytest

from provider import feed
from tests.builders import make_class, make_container, make_pod


def thing(kind: str, name: str, namespace: str = "default") -> dict:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}}


@pytest.mark.parametrize(
    ("spec", "config_maps", "secrets"),
    [
        ({"containers": [make_container(env=[{"valueFrom": {"configMapKeyRef": {"name": "a"}}}])]}, {"a"}, set()),
        ({"containers": [make_container(env=[{"valueFrom": {"secretKeyRef": {"name": "b"}}}])]}, set(), {"b"}),
        ({"initContainers": [make_container(envFrom=[{"configMapRef": {"name": "a"}}])]}, {"a"}, set()),
        ({"ephemeralContainers": [make_container(envFrom=[{"secretRef": {"name": "b"}}])]}, set(), {"b"}),
        ({"volumes": [{"name": "v", "configMap": {"name": "a"}}]}, {"a"}, set()),
        ({"volumes": [{"name": "v", "secret": {"secretName": "b"}}]}, set(), {"b"}),
        (
            {"volumes": [{"projected": {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": "b"}}]}}]},
            {"a"},
            {"b"},
        ),
        ({"imagePullSecrets": [{"name": "b"}]}, set(), {"b"}),
        ({"containers": [make_container(env=[{"name": "PLAIN", "value": "x"}])]}, set(), set()),
    ],
)  # fmt: skip
def test_every_way_to_name_an_object_is_found(spec: dict, config_maps: set[str], secrets: set[str]) -> None:
    found = feed.references(make_pod(**spec))
    assert (set(found.config_maps), set(found.secrets)) == (config_maps, secrets)


def test_what_the_pod_does_not_name_is_not_given() -> None:
    pod = make_pod(imagePullSecrets=[{"name": "mine"}])
    node = feed.guest_node("vch", {}, make_class(), "10.0.0.5")
    found = [
        thing("Secret", "mine"),
        thing("Secret", "others"),
        thing("Secret", "mine", "elsewhere"),
        thing("ConfigMap", "mine"),
    ]
    objects = feed.guest_objects(pod, node, found)
    assert objects == [node, found[0], pod]


def test_the_node_of_a_guest_has_the_vms_size_and_address() -> None:
    node = feed.guest_node("vch", {"a": "b"}, make_class(1500, 1024), "10.0.0.5")
    assert node["status"]["allocatable"] == {"cpu": "1500m", "memory": "1024", "pods": "1"}
    assert node["status"]["addresses"][0]["address"] == "10.0.0.5"
    assert node["metadata"]["labels"] == {"a": "b"}
