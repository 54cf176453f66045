"""Each image that a VCH uses gets its template, which is looked for until it is there, or is brought there first."""

import pytest

from provider import errors
from provider.api.image import PodVMImageSpec
from provider.image_controller import setup_of
from tests.image_controller.library import Library

OVA = {"url": "https://images.example/photon.ova", "sha256": "ab" * 32}


async def test_a_template_is_found_by_its_name(library: Library) -> None:
    library.templates["photon-5"] = "vm-9"
    library.add("photon", source={"inventoryTemplate": "photon-5"}, preloadImages=["app:1"])
    with pytest.raises(errors.ImagePending, match="photon"):
        library.controller.images({})
    library.start()
    await library.found()
    image = library.controller.images({"caBundle": "PEM"})["photon"]
    assert (image.source, image.fork_of) == ("vm-9", "")
    assert image.setup == {"caBundle": "PEM", "preloadImages": ["app:1"]}
    assert library.changes == 1


async def test_what_is_found_is_not_looked_for_again(library: Library) -> None:
    library.templates["photon-5"] = "vm-9"
    library.add("photon", source={"inventoryTemplate": "photon-5"})
    library.start()
    await library.found()
    library.controller.changed()
    library.add("other", used=False, source={"inventoryTemplate": "nobody's"})
    await library.until(lambda: library.clock.monotonic() > 1100.0)
    assert library.asked == [("template", "photon-5")]


async def test_one_that_is_missing_is_named_and_found_soon_when_it_is_there(library: Library) -> None:
    library.templates["debian"] = "vm-1"
    library.add("photon", source={"inventoryTemplate": "photon-5"})
    library.start()
    await library.until(lambda: library.controller.error_of("photon"))
    with pytest.raises(errors.TemplateNotFound, match="there are: debian"):
        library.controller.images({})
    await library.until(lambda: library.clock.monotonic() > 3000.0, within=3000)
    assert 10 < len(library.asked) < 120
    library.templates["photon-5"] = "vm-9"
    await library.found(within=31)
    assert library.controller.error_of("photon") is None


async def test_a_change_is_looked_at_at_once(library: Library) -> None:
    library.add("photon", source={"inventoryTemplate": "photon-5"})
    library.start()
    await library.until(lambda: len(library.asked) > 6)
    library.templates["photon-6"] = "vm-10"
    library.add("photon", source={"inventoryTemplate": "photon-6"})
    await library.found(within=1)
    assert library.source("photon") == "vm-10"


async def test_a_changed_source_is_another_template(library: Library) -> None:
    library.templates |= {"photon-5": "vm-9", "photon-6": "vm-10"}
    library.add("photon", source={"inventoryTemplate": "photon-5"})
    library.start()
    await library.found()
    library.add("photon", source={"inventoryTemplate": "photon-6"})
    with pytest.raises(errors.ImagePending):
        library.source("photon")
    await library.found()
    assert library.source("photon") == "vm-10"


async def test_a_library_item_is_brought_once(library: Library) -> None:
    library.add("photon", source={"contentLibraryItem": {"library": "images", "item": "photon-5"}})
    library.start()
    await library.found()
    (looked, brought) = library.asked
    assert brought == ("item", "images", "photon-5", looked[1])
    assert library.source("photon") == "vm-of-photon-5"
    await library.stop()
    again = Library()
    again.templates = library.templates
    again.add("photon", source={"contentLibraryItem": {"library": "images", "item": "photon-5"}})
    again.start()
    await again.found()
    assert again.asked == [looked], "it is there already"
    await again.stop()


async def test_an_ova_is_brought_under_a_name_of_its_contents(library: Library) -> None:
    library.add("photon", source={"ova": OVA})
    library.start()
    await library.found()
    first = library.asked[-1]
    assert first[:3] == ("ova", OVA["url"], OVA["sha256"])
    library.add("photon", source={"ova": {**OVA, "sha256": "cd" * 32}})
    await library.until(lambda: library.asked[-1][0] == "ova" and library.asked[-1] != first)
    assert library.asked[-1][3] != first[3]


async def test_a_fork_needs_its_base_only(library: Library) -> None:
    library.templates["photon-5"] = "vm-9"
    library.add("photon", used=False, source={"inventoryTemplate": "photon-5"})
    library.add("fork", fork={"from": "photon", "sysctls": {"vm.swappiness": "1"}})
    assert library.controller.used() == ["fork", "photon"]
    library.start()
    await library.found()
    image = library.controller.images({})["fork"]
    assert (image.source, image.fork_of, image.setup) == ("", "photon", {"sysctls": {"vm.swappiness": "1"}})
    assert library.source("photon") == "vm-9"


async def test_a_fork_of_what_is_not_there_says_so(library: Library) -> None:
    library.add("fork", fork={"from": "photon"})
    assert "'photon' does not exist" in str(library.controller.error_of("fork"))
    library.add("photon", source={"inventoryTemplate": "photon-5"})
    assert library.controller.error_of("fork") is None, "nobody has looked yet"
    library.start()
    await library.until(lambda: library.controller.error_of("fork"))
    assert isinstance(library.controller.error_of("fork"), errors.TemplateNotFound)


async def test_forks_of_one_another_are_told(library: Library) -> None:
    library.add("one", fork={"from": "two"})
    library.add("two", fork={"from": "one"})
    library.start()
    assert "forks of one another" in str(library.controller.error_of("one"))
    assert sorted(library.controller.used()) == ["one", "two"]


def test_only_what_is_said_is_in_the_agents_message() -> None:
    assert setup_of(PodVMImageSpec.model_validate({"source": {"inventoryTemplate": "photon-5"}})) == {}
    fork = {
        "from": "photon",
        "kernelParameters": ["panic=5"],
        "kernelModules": ["dummy"],
        "files": [{"path": "/etc/motd", "content": "hello"}],
    }
    assert setup_of(PodVMImageSpec.model_validate({"fork": fork, "preloadImages": ["app:1"]})) == {
        "preloadImages": ["app:1"],
        "kernelParameters": ["panic=5"],
        "kernelModules": ["dummy"],
        "files": [{"path": "/etc/motd", "content": "hello"}],
    }
