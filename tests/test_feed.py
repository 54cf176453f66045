"""A guest is given what its Pod names, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider import feed
from tests.builders import make_class, make_container, make_pod


def thing(kind: str, name: str, namespace: str = "default") -> dict:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}}


FIREWALL = {"apiVersion": "guest.vch.dev/v1", "kind": "Firewall", "metadata": {"name": "uid-1"}}


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


SOURCES = [
    {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "k", "optional": True}}}]},
    {"envFrom": [{"prefix": "P_", "configMapRef": {"name": "a", "optional": True}}]},
]


@pytest.mark.parametrize("sort", ["initContainers", "containers", "ephemeralContainers"])
@pytest.mark.parametrize("source", SOURCES)
def test_containers_of_every_sort_are_looked_at_and_optional_names_count(sort: str, source: dict) -> None:
    pod = make_pod()
    pod["spec"][sort] = [make_container("one"), make_container("two", **source)]
    assert feed.references(pod).config_maps == {"a"}


@pytest.mark.parametrize(
    "spec",
    [
        {"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        {"env": [{"name": "X", "valueFrom": None}], "envFrom": None},
        {"volumeMounts": [{"name": "v", "mountPath": "/secret"}]},
    ],
)
def test_what_only_looks_like_a_reference_is_none(spec: dict) -> None:
    volumes = [
        {"name": "v", "emptyDir": {}},
        {"name": "w", "hostPath": {"path": "/secret"}},
        {"name": "x", "downwardAPI": {"items": []}},
        {"name": "y", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"downwardAPI": {}}]}},
        {"name": "z", "projected": {"sources": None}},
    ]
    pod = make_pod(containers=[make_container(**spec)], volumes=volumes, imagePullSecrets=[{}, {"name": ""}])
    assert feed.references(pod) == feed.References()


def test_a_pod_of_nothing_but_containers_names_nothing() -> None:
    pod = make_pod(volumes=None, imagePullSecrets=None, initContainers=None, ephemeralContainers=None)
    assert feed.references(pod) == feed.References()


def test_a_runtime_class_is_named_by_the_pod() -> None:
    pod = make_pod(runtimeClassName="gvisor")
    mine, others = thing("RuntimeClass", "gvisor"), thing("RuntimeClass", "kata")
    assert feed.guest_objects(pod, {}, FIREWALL, [others, mine]) == [{}, FIREWALL, mine, pod]
    assert feed.guest_objects(make_pod(), {}, FIREWALL, [others, mine]) == [{}, FIREWALL, make_pod()]


NAMES = st.sampled_from(["a", "b", "c"])
THINGS = st.builds(
    thing, st.sampled_from(["ConfigMap", "Secret", "RuntimeClass", "Service", "Pod", "Node"]), NAMES, NAMES
)


@given(st.lists(THINGS), st.sets(NAMES), st.sets(NAMES), st.none() | NAMES)
def test_whatever_is_found_a_guest_gets_what_its_pod_names(
    found: list[dict], config_maps: set[str], secrets: set[str], runtime_class: str | None
) -> None:
    env_from = [{"configMapRef": {"name": name}} for name in config_maps]
    pulls = [{"name": name} for name in secrets]
    pod = make_pod(
        containers=[make_container(envFrom=env_from)], imagePullSecrets=pulls, runtimeClassName=runtime_class
    )
    pod["metadata"]["namespace"] = "a"
    node, firewall, *given_, last = feed.guest_objects(pod, {"kind": "Node"}, FIREWALL, found)
    assert (node, firewall, last) == ({"kind": "Node"}, FIREWALL, pod)
    assert given_ == [
        one
        for one in found
        if (
            one["kind"] == "ConfigMap"
            and one["metadata"]["namespace"] == "a"
            and one["metadata"]["name"] in config_maps
        )
        or (one["kind"] == "Secret" and one["metadata"]["namespace"] == "a" and one["metadata"]["name"] in secrets)
        or (one["kind"] == "RuntimeClass" and one["metadata"]["name"] == runtime_class)
    ]


def test_the_node_comes_first_and_the_pod_last_since_it_needs_the_others() -> None:
    pod = make_pod(imagePullSecrets=[{"name": "mine"}])
    objects = feed.guest_objects(pod, thing("Node", "vch"), FIREWALL, [thing("Secret", "mine")])
    assert [each["kind"] for each in objects] == ["Node", "Firewall", "Secret", "Pod"]


def test_what_the_pod_does_not_name_is_not_given() -> None:
    pod = make_pod(imagePullSecrets=[{"name": "mine"}])
    node = feed.guest_node("vch", {}, make_class(), "10.0.0.5")
    found = [
        thing("Secret", "mine"),
        thing("Secret", "others"),
        thing("Secret", "mine", "elsewhere"),
        thing("ConfigMap", "mine"),
    ]
    objects = feed.guest_objects(pod, node, FIREWALL, found)
    assert objects == [node, FIREWALL, found[0], pod]


def test_the_node_of_a_guest_has_the_vms_size_and_the_address_that_everybody_sees() -> None:
    node = feed.guest_node("vch", {"a": "b"}, make_class(1500, 1024), "192.0.2.10")
    assert node["status"]["allocatable"] == {"cpu": "1500m", "memory": "1024", "pods": "1"}
    assert node["status"]["addresses"][0]["address"] == "192.0.2.10"
    assert node["metadata"]["labels"] == {"a": "b"}
