"""Against the simulator, which enforces them: what is listed is enough, all of it is needed, and named if it lacks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from provider.errors import NoPermission
from provider.parentvm import WantedPlacement
from provider.vsphere import privileges

from .conftest import PASSWORD, USER, Simulator, Watched, make_clone, make_machine, watching
from .test_parents import make_request

POD_USER = "vch"
FOLDER = "/DC0/vm"
POOL = "/DC0/host/DC0_C0/Resources"


def role(**without: str) -> dict[str, list[str]]:
    """The documented role, but for one privilege of an object."""
    whole = {
        FOLDER: [*privileges.FOLDER, *privileges.TEMPLATE],
        POOL: list(privileges.RESOURCE_POOL),
        "/DC0/datastore/LocalDS_0": list(privileges.DATASTORE),
        "/DC0/network/DC0_DVPG0": list(privileges.PORT_GROUP),
    }
    missing = without.get("without")
    return {where: [each for each in allowed if each != missing] for where, allowed in whole.items()}


@pytest.fixture(name="limited")
async def _limited(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    """Connected as a user who may do what the role says, and nothing else."""
    connect = simulator.connect
    simulator.put("/logins", {USER: PASSWORD, POD_USER: PASSWORD})
    monkeypatch.setattr(simulator, "connect", lambda: connect(POD_USER))
    ports: dict[str, Any] = {"port_group": "DC0_DVPG0", "pod_port_group": "DC0_DVPG0", "pods_apart": True}
    wanted = WantedPlacement("vm", "Resources", datastore="LocalDS_0", **ports)
    async with watching(simulator, wanted) as watched:
        yield watched


def enforce(watched: Watched, allowed: dict[str, list[str]]) -> None:
    watched.simulator.put("/privileges", {"user": POD_USER, "role": allowed})


async def live(watched: Watched, source: str) -> None:
    """All that is done in a pod VM's life, its parent's included."""
    host = await watched.raw(lambda _: watched.vm(source).runtime.host._moId)
    parent = await watched.vc.make_parent(make_request(source, host))
    await watched.vc.power_on(parent)
    watched.simulator.post(f"/vms/{parent}/freeze", {})
    clone = await watched.vc.clone(make_clone(parent))
    await watched.vc.pin(clone, "sha256:ab", "default")
    for moref in (clone, parent):
        await watched.vc.power_off(moref)
        await watched.vc.destroy(moref)


async def test_the_documented_role_lacks_nothing_and_is_enough(limited: Watched) -> None:
    source = await make_machine(limited.simulator, limited.vc, "photon", on=False)
    enforce(limited, role())
    await limited.vc.template("photon")
    assert await limited.vc.missing_privileges() == {}
    await live(limited, source)


NEEDED: list[Any] = sorted({each for allowed in role().values() for each in allowed} - set(privileges.TEMPLATE))


@pytest.mark.parametrize("privilege", NEEDED)
async def test_nothing_of_the_role_can_be_left_out(limited: Watched, privilege: str) -> None:
    source = await make_machine(limited.simulator, limited.vc, "photon", on=False)
    enforce(limited, role(without=privilege))
    with pytest.raises(NoPermission, match=rf"the privilege {privilege} on "):
        await live(limited, source)


@pytest.mark.parametrize("privilege", NEEDED)
async def test_what_is_missing_is_told_by_object(limited: Watched, privilege: str) -> None:
    await make_machine(limited.simulator, limited.vc, "photon", on=False)
    enforce(limited, role(without=privilege))
    await limited.vc.template("photon")
    where = [path.rpartition("/")[2] for path, allowed in role().items() if privilege in allowed]
    # The VM that is no template is in the VCH's folder here, so that what lacks on that lacks on it.
    where += ["photon"] if privilege in privileges.SOURCE_VM else []
    assert await limited.vc.missing_privileges() == {name: [privilege] for name in where}
