"""The simulator is of use to others: govc clones, lists and destroys against it."""

import json

from e2e.lab.simulator import FOLDER
from e2e.tests.running_lab import RunningLab


def test_govc_clones_lists_and_destroys(lab: RunningLab) -> None:
    name = "govc-made-this"
    parent = lab.parent("native")
    # Without the mark of its source it is nobody's: the operator does not take it for a parent of its own.
    lab.govc("vm.instantclone", "-vm", parent, "-folder", FOLDER, "-e", "vch.parent=", name)
    try:
        assert f"/DC0/vm/{name}" in lab.govc("find", "/DC0/vm", "-type", "m").splitlines()
        (info,) = json.loads(lab.govc("vm.info", "-json", name))["virtualMachines"]
        (source,) = json.loads(lab.govc("vm.info", "-json", parent))["virtualMachines"]
        assert info["runtime"]["powerState"] == "poweredOn"
        assert info["runtime"]["host"] == source["runtime"]["host"]
        assert info["config"]["uuid"] != source["config"]["uuid"]
        assert source["runtime"]["instantCloneFrozen"] is True
    finally:
        lab.govc("vm.destroy", name)
    assert f"/DC0/vm/{name}" not in lab.govc("find", "/DC0/vm", "-type", "m").splitlines()
