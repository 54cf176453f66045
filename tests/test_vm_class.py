"""A Pod gets the smallest VM that holds it, or the one it names."""

from typing import Any

import pytest

from provider.errors import ExceedsVMClass, UnsupportedPod
from provider.podvm import PodVMClass
from provider.vm_class import choose_class, choose_image
from tests.builders import GIB, make_pod, make_vm_class

SMALL = make_vm_class("small", cpus=1, memory_mib=1024)
WIDE = make_vm_class("wide", cpus=8, memory_mib=1024)
LARGE = make_vm_class("large", cpus=4, memory_mib=8192)
ALL = (LARGE, WIDE, SMALL)


def annotated(**annotations: str) -> dict[str, Any]:
    pod = make_pod()
    pod["metadata"]["annotations"] = {f"vch.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return pod


@pytest.mark.parametrize(
    ("cpu", "memory", "chosen"),
    [
        (0, 0, "small"),
        (1000, GIB, "small"),
        (1001, GIB, "wide"),
        (1000, GIB + 1, "large"),
        (4000, 8 * GIB, "large"),
    ],
)
def test_the_smallest_class_that_holds_the_pod_is_taken(cpu: int, memory: int, chosen: str) -> None:
    assert choose_class(make_pod(), {"cpu": cpu, "memory": memory}, ALL).name == chosen


def test_what_the_guest_itself_needs_is_not_the_pods() -> None:
    tight = make_vm_class("tight", cpus=1, memory_mib=1024, overhead=PodVMClass(100, 192 * 2**20))
    assert tight.usable == PodVMClass(900, 832 * 2**20)
    assert choose_class(make_pod(), {"cpu": 950, "memory": 0}, (tight, LARGE)).name == "large"


@pytest.mark.parametrize(
    ("cpu", "memory", "field"), [(9000, 0, "requests.cpu"), (5000, 2 * GIB, "requests.memory"), (0, 9 * GIB, "memory")]
)
def test_a_pod_that_no_class_holds_is_refused_with_what_there_is(cpu: int, memory: int, field: str) -> None:
    with pytest.raises(ExceedsVMClass, match=field) as refused:
        choose_class(make_pod(), {"cpu": cpu, "memory": memory}, ALL)
    assert "small (1 CPUs, 1024Mi)" in str(refused.value)
    assert "large (4 CPUs, 8192Mi)" in str(refused.value)


def test_a_pod_may_name_a_larger_class_than_it_needs() -> None:
    assert choose_class(annotated(vm_class="large"), {"cpu": 100, "memory": 0}, ALL).name == "large"


def test_a_class_that_a_pod_names_has_to_hold_it() -> None:
    with pytest.raises(ExceedsVMClass, match=r"there are: small"):
        choose_class(annotated(vm_class="small"), {"cpu": 2000, "memory": 0}, ALL)


def test_an_unknown_class_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UnsupportedPod, match=r"vch\.dev/vm-class\]: 'huge' is none .* large .* wide .* small"):
        choose_class(annotated(vm_class="huge"), {"cpu": 0, "memory": 0}, ALL)


def test_a_runtime_class_narrows_the_choice_to_the_classes_that_list_it() -> None:
    gold = make_vm_class("gold", cpus=2, memory_mib=4096, runtime_class_names=("vch-gold",))
    assert choose_class(make_pod(runtimeClassName="vch-gold"), {"cpu": 0, "memory": 0}, (*ALL, gold)).name == "gold"
    assert choose_class(make_pod(runtimeClassName="vch"), {"cpu": 0, "memory": 0}, (*ALL, gold)).name == "small"
    with pytest.raises(ExceedsVMClass, match="there are: gold"):
        choose_class(make_pod(runtimeClassName="vch-gold"), {"cpu": 3000, "memory": 0}, (*ALL, gold))


def test_the_image_is_the_annotations_or_the_classs_or_the_first() -> None:
    tuned = make_vm_class("tuned", image="photon-tuned")
    assert choose_image(make_pod(), SMALL, ("photon", "fork")) == "photon"
    assert choose_image(make_pod(), tuned, ("photon", "fork")) == "photon-tuned"
    assert choose_image(annotated(image="fork"), tuned, ("photon", "fork")) == "fork"
    with pytest.raises(UnsupportedPod, match=r"vch\.dev/image\]: 'other' is none .* photon, fork"):
        choose_image(annotated(image="other"), SMALL, ("photon", "fork"))
