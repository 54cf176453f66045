"""A parent that the tests boot themselves, with govc and no operator: to time a boot, and to have unshared memory.

The neighbour `bare_clone` makes clones.
"""

import json
import secrets

from e2e.lab.simulator import FOLDER
from e2e.lab.vch_operator import HOSTS
from e2e.tests.running_lab import RunningLab

_FREEZE_SECONDS = 600  # a parent boots for minutes where there is no KVM and the machine is busy


def boot(lab: RunningLab, guest: str, name: str) -> None:
    """A VM of that kind of guest and of the size of its VCH's parents; returns when it is frozen."""
    host = HOSTS[guest]
    memory = int(host.memory.removesuffix("Mi"))
    lab.simulator.create_vm(name, guest, cpus=host.cpus, memory_mib=memory)
    told = {"parentId": secrets.token_hex(16), "node": host.name, "freeze": True}
    lab.govc("vm.change", "-vm", name, "-e", f"guestinfo.vch.parent={json.dumps(told)}")
    lab.govc("vm.power", "-on", name)
    place = f"{FOLDER}/{name}"
    lab.simulator.govc("object.collect", place, "-runtime.instantCloneFrozen", "true", timeout=_FREEZE_SECONDS)
