"""What a PodVMImage says: of a parent that was prepared, and why there is none."""

from dataclasses import replace
from datetime import timedelta

from provider.errors import TemplateNotFound
from provider.image_status import ImageFacts, guest_of, image_status, merged
from provider.parentvm import NO_FACTS, GuestFacts, ParentPhase, ParentReport, ParentVM, PreloadedImage
from tests.builders import make_parent_vm, make_slot
from tests.fake_clock import BEGAN

LATER = BEGAN + timedelta(minutes=5)
GUEST = GuestFacts("Photon", "6.1", "v1.37.2", "containerd://1.7", "0.1.0", (PreloadedImage(("app:1",), 5),))
KNOWN = ImageFacts(3, fork=False, guest=GUEST)


def warm(moref: str, guest: GuestFacts = GUEST, **fields: object) -> ParentVM:
    vm = make_parent_vm(moref)
    return replace(vm, report=ParentReport(vm.marks.parent_id, ParentPhase.WARM, guest=guest), **fields)  # type: ignore[arg-type]


def ready(status: dict) -> tuple[str, str]:
    (condition,) = status["conditions"]
    return condition["status"], condition["reason"]


def test_a_prepared_image_says_what_is_in_it() -> None:
    status = image_status(KNOWN, BEGAN)
    assert ready(status) == ("True", "Prepared")
    assert status["observedGeneration"] == 3
    texts = [status[name] for name in ("osImage", "kernelVersion", "kubeletVersion", "agentVersion")]
    assert texts == ["Photon", "6.1", "v1.37.2", "0.1.0"]
    assert status["containerRuntimeVersion"] == "containerd://1.7"
    assert status["images"] == 1
    assert "sharesMemory" not in status, "that is said of forks"


def test_a_fork_says_whether_it_shares_memory() -> None:
    assert image_status(replace(KNOWN, fork=True), BEGAN)["sharesMemory"] is True
    booted = replace(GUEST, shares_memory=False)
    assert image_status(replace(KNOWN, fork=True, guest=booted), BEGAN)["sharesMemory"] is False


def test_what_is_wrong_is_said_with_what_is_known() -> None:
    status = image_status(replace(KNOWN, error=TemplateNotFound("there is no photon-6")), BEGAN)
    assert ready(status) == ("False", TemplateNotFound.reason)
    assert status["kernelVersion"] == "6.1"


def test_what_cannot_be_said_is_left_out() -> None:
    assert image_status(ImageFacts(1, fork=True), BEGAN).keys() == {"observedGeneration", "conditions"}
    assert "osImage" not in image_status(replace(KNOWN, guest=NO_FACTS), BEGAN)


def test_a_status_that_stays_keeps_its_date() -> None:
    old = image_status(KNOWN, BEGAN)
    assert merged(old, image_status(KNOWN, LATER)) == old
    failed = image_status(replace(KNOWN, error=TemplateNotFound("gone")), LATER)
    assert merged(old, failed) == failed
    assert merged(None, old) == old


def test_without_a_parent_nothing_is_forgotten_that_was_known_of_this_spec() -> None:
    old = image_status(KNOWN, BEGAN)
    assert merged(old, image_status(ImageFacts(3, fork=False), LATER)) == old
    other = merged(old, image_status(ImageFacts(4, fork=False), LATER))
    assert ready(other) == ("Unknown", "NotPrepared")


def test_a_parent_as_it_is_wanted_is_believed_first() -> None:
    old, new = GUEST, replace(GUEST, kernel_version="6.6")
    slot = make_slot(digest="d2")
    outdated, current = warm("vm-1", old), warm("vm-2", new)
    current = replace(current, marks=replace(current.marks, digest="d2"))
    assert guest_of([(outdated, slot), (current, slot)]) == new
    assert guest_of([(outdated, slot)]) == old
    assert guest_of([(replace(outdated, report=None), slot)]) is None
    failed = replace(outdated, report=ParentReport("id-vm-1", ParentPhase.FAILED))
    assert guest_of([(failed, slot)]) is None
