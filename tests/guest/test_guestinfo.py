"""The seam to vmware-rpctool."""

import pytest
from vch_agent.guestinfo import GuestInfo
from vch_agent.process import ProgramFailed

from tests.guest.build import RPCTOOL, Hypervisor


async def test_a_value_round_trips(hypervisor: Hypervisor) -> None:
    seam = GuestInfo(RPCTOOL)
    await seam.set("guestinfo.vch.report", '{"a": "b c"}')
    assert await seam.get_object("guestinfo.vch.report") == {"a": "b c"}


async def test_an_absent_key_is_none(hypervisor: Hypervisor) -> None:
    assert await GuestInfo(RPCTOOL).get("guestinfo.vch.identity") is None


async def test_a_hypervisor_that_does_not_answer_is_not_an_absent_key(hypervisor: Hypervisor) -> None:
    with pytest.raises(ProgramFailed, match="ended with 1"):
        await GuestInfo("/bin/false").get("guestinfo.vch.identity")
    with pytest.raises(ProgramFailed, match="cannot be run"):
        await GuestInfo("/nonexistent").get("guestinfo.vch.identity")


@pytest.mark.parametrize("value", ["{", "[]", "3"])
async def test_what_is_no_object_is_refused_by_name(hypervisor: Hypervisor, value: str) -> None:
    hypervisor.put("parent", value)
    with pytest.raises(ValueError, match=r"guestinfo\.vch\.parent"):
        await GuestInfo(RPCTOOL).get_object("guestinfo.vch.parent")


async def test_a_machine_that_cannot_freeze_says_so(hypervisor: Hypervisor) -> None:
    with pytest.raises(ProgramFailed, match="cannot be frozen"):
        await GuestInfo(RPCTOOL).freeze()
