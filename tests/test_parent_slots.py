"""A VCH wants one parent for each host, class and image that Pods may get, and knows when one is outdated."""

from typing import Any

import pytest

from provider.errors import InvalidSpec
from provider.parent_slots import Demand, Image, Slot, digest, lineage, wanted
from provider.parentvm import ParentKey
from tests.builders import make_key, make_vm_class

PHOTON = Image("photon", source="vm-9")
FORK = Image("fork", fork_of="photon", setup={"sysctls": {"kernel.pid_max": "9999"}})
DEEP = Image("deep", fork_of="fork")
IMAGES = {image.name: image for image in (PHOTON, FORK, DEEP)}
SMALL, LARGE = make_vm_class("small"), make_vm_class("large", memory_mib=4096)


def slots(**fields: Any) -> dict[ParentKey, Slot]:
    given: dict[str, Any] = {
        "hosts": ("host-1", "host-2"),
        "classes": (SMALL, LARGE),
        "images": IMAGES,
        "offered": ("photon",),
        "common": {"node": "vch"},
        "prewarm": True,
    }
    return wanted(**{**given, **fields})


def test_prewarmed_parents_are_there_for_each_host_and_class() -> None:
    assert set(slots()) == {
        make_key(host, "photon", size) for host in ("host-1", "host-2") for size in ("small", "large")
    }


def test_a_class_with_an_image_of_its_own_is_wanted_with_that_one() -> None:
    own = make_vm_class("own", image="fork")
    found = {(key.image, key.vm_class) for key in slots(classes=(SMALL, own))}
    assert found == {("photon", "small"), ("fork", "own"), ("photon", "own")}


def test_the_base_of_a_fork_is_wanted_too_and_is_what_it_is_cloned_from() -> None:
    found = slots(hosts=("host-1",), classes=(SMALL,), offered=("deep",))
    assert found[make_key(image="deep")].base == make_key(image="fork")
    assert found[make_key(image="fork")].base == make_key(image="photon")
    assert found[make_key(image="photon")].base is None


def test_without_prewarm_only_what_pods_wait_for_is_wanted() -> None:
    assert not slots(prewarm=False)
    found = slots(prewarm=False, demands=[Demand("photon", "large", "team-a"), Demand("photon", "gone")])
    assert set(found) == {make_key(host, "photon", "large", "team-a") for host in ("host-1", "host-2")}


@pytest.mark.parametrize(
    "changed",
    [
        {"classes": (make_vm_class("small", cpus=3), LARGE)},
        {"common": {"node": "vch", "proxy": "http://proxy.test:3128"}},
        {"images": IMAGES | {"photon": Image("photon", source="vm-10")}},
    ],
)
def test_what_a_parent_is_made_from_makes_it_outdated(changed: dict[str, Any]) -> None:
    assert slots()[make_key()].digest != slots(**changed)[make_key()].digest


def test_a_changed_base_makes_its_forks_outdated_but_not_the_other_way() -> None:
    before = slots(offered=("fork",))
    new_base = slots(offered=("fork",), images=IMAGES | {"photon": Image("photon", source="vm-10")})
    new_fork = slots(offered=("fork",), images=IMAGES | {"fork": Image("fork", fork_of="photon")})
    fork, base = make_key(image="fork"), make_key(image="photon")
    assert new_base[fork].digest != before[fork].digest
    assert new_fork[fork].digest != before[fork].digest
    assert new_fork[base].digest == before[base].digest


def test_what_a_class_is_besides_its_size_does_not_make_parents_outdated() -> None:
    assert slots()[make_key()].digest == slots(classes=(make_vm_class("small", standby=3), LARGE))[make_key()].digest


def test_an_image_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InvalidSpec, match=r"'ubuntu' does not exist; there are: deep, fork, photon"):
        slots(offered=("ubuntu",))


def test_forks_in_a_circle_are_refused() -> None:
    circle = {"a": Image("a", fork_of="b"), "b": Image("b", fork_of="a")}
    with pytest.raises(InvalidSpec, match="a → b → a"):
        lineage("a", circle)


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
