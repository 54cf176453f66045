"""The role that the README lists is enough for everything, and what of it is missing is named."""

from collections.abc import Iterator

import pytest

from e2e.lab.vch_operator import HOSTS
from e2e.tests import account, catalog
from e2e.tests.builders import make_pod
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.vcenter_control import VCenterControl
from e2e.tests.virtual_machines import VirtualMachines

START = 120
MENDED = 60
NAME, FORK = "restricted", "restricted-fork"
TUNED = {"net.core.somaxconn": "1777"}
SPEC: KubeObject = {
    "template": {"images": [NAME, FORK], "classes": [NAME]},
    "placement": {"datastore": account.DATASTORE, "hosts": ["DC0_C0_H0"]},
    "network": {"portGroup": "VM Network"},
}


@pytest.fixture(name="vch")
def _vch(lab: RunningLab, kube: Kube, vcenter: VCenterControl) -> Iterator[OwnVCH]:
    """One with a template's image, a fork of it, and a standby clone; its account may do what is documented."""
    vch = OwnVCH(lab, kube, NAME, address="127.0.0.14")
    kube.apply(
        catalog.image(NAME, source={"inventoryTemplate": HOSTS["native"].template.name}),
        catalog.image(FORK, fork={"from": NAME, "sysctls": TUNED}),
        catalog.vm_class(NAME, cpus=1, memory="512Mi", standby=1),
    )
    lab.simulator.create_folder(NAME)
    account.restrict(vcenter, account.documented(vch))
    vch.log_in(account.USER, account.PASSWORD)
    yield vch
    vch.delete()
    kube.run("delete", f"podvmimage/{NAME}", f"podvmimage/{FORK}", f"podvmclass/{NAME}")


def run(kube: Kube, vch: OwnVCH, name: str, image: str = NAME) -> KubeObject:
    pod = make_pod(name, vch.name)
    pod["metadata"]["annotations"] = {"vch.dev/image": image}
    kube.apply(pod)
    return kube.until("pod", name, ready, timeout=START)


def reasons(kube: Kube, pod: KubeObject) -> set[str]:
    return {event["reason"] for event in kube.events(pod)}


def test_the_documented_role_is_enough_for_a_whole_life(
    vch: OwnVCH, kube: Kube, vms: VirtualMachines, lab: RunningLab
) -> None:
    vch.apply(**SPEC)
    vch.ready(timeout=START)
    catalog.parent(kube, NAME, NAME, NAME)
    catalog.parent(kube, NAME, FORK, NAME)
    kube.until("virtualcontainerhost", NAME, standing_by, timeout=START)
    bound, cloned = run(kube, vch, "bound"), run(kube, vch, "cloned", FORK)
    assert "VirtualMachineBound" in reasons(kube, bound)
    assert "VirtualMachineCloned" in reasons(kube, cloned)
    assert kube.text("exec", "cloned", "--", "cat", "/proc/sys/net/core/somaxconn").strip() == "1777"
    for pod in (bound, cloned):
        kube.delete("pod", pod["metadata"]["name"])
        kube.gone("pod", pod["metadata"]["name"], timeout=60)
        vms.gone(pod["metadata"]["uid"], timeout=60)
    assert vch.until("PlacementResolved", "True", "PlacementResolved")
    vch.delete()
    assert lab.govc("ls", vch.folder).split() == []


def standing_by(vch: KubeObject) -> bool:
    return bool(vch["status"]["standby"]["ready"])


def test_each_privilege_that_is_taken_away_is_named(vch: OwnVCH, kube: Kube, vcenter: VCenterControl) -> None:
    """What an account lacks is looked at again every ten seconds as long as something is lacking."""
    role = account.documented(vch)
    # The template's is looked at when the connection stands already, which others would keep from being made.
    needed = [(path, each) for path, given in reversed(role.items()) for each in given]
    vcenter.privileges(account.USER, account.without(role, *needed[0]))
    vch.apply(**SPEC)
    for path, privilege in needed:
        vcenter.privileges(account.USER, account.without(role, path, privilege))
        lacking = f"the account lacks privileges on {path.rpartition('/')[2]}: {privilege}"
        assert vch.until("PlacementResolved", "False", "NoPermission", says=lacking, timeout=MENDED) == lacking
    vcenter.privileges(account.USER, role)
    vch.ready(timeout=START)


def test_an_account_that_may_not_begin_begins_when_it_may(vch: OwnVCH, kube: Kube, vcenter: VCenterControl) -> None:
    role = account.documented(vch)
    vcenter.privileges(account.USER, account.without(role, vch.folder, "VirtualMachine.Provisioning.Clone"))
    vch.apply(**SPEC)
    vch.until("PlacementResolved", "False", "NoPermission", says="VirtualMachine.Provisioning.Clone")
    vcenter.privileges(account.USER, role)
    vch.ready(timeout=START)
    run(kube, vch, "allowed")
