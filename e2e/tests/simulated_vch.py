"""A VirtualContainerHost of simulated guests: many Pods, none of which runs anything.

Its guests' addresses are the laboratory's own (`netns.SIMULATED`); those of its Pods lead nowhere.
"""

import contextlib
import json
from collections.abc import Iterator

from e2e.lab.simulator import SIMULATED_TEMPLATE
from e2e.tests import catalog
from e2e.tests.builders import make_container, make_pod
from e2e.tests.kube import Kube, KubeObject
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab

NAME = "vch-simulated"
_KIND = SIMULATED_TEMPLATE.guest
_SCRIPT = "sim.vch.dev/script"


@contextlib.contextmanager
def simulated_vch(lab: RunningLab, kube: Kube, *, pods: int) -> Iterator[OwnVCH]:
    """Ready, and gone afterwards with what it referred to; it takes so many Pods."""
    lab.simulator.create_template(SIMULATED_TEMPLATE)
    host = OwnVCH(lab, kube, NAME, guests="10.80.1.0-10.80.20.255", pods="10.81.1.0-10.81.20.255")
    image = catalog.image(_KIND, source={"inventoryTemplate": SIMULATED_TEMPLATE.name})
    size = catalog.vm_class(_KIND, cpus=1, memory="256Mi")
    size["spec"]["overhead"] = {"memory": "32Mi"}
    kube.apply(image, size)
    host.create(
        network={"prefixLength": 16, "gateway": "10.80.0.1"},
        podNetwork={"prefixLength": 16, "gateway": "10.81.0.1"},
        template={"images": [_KIND], "classes": [_KIND]},
        limits={"pods": pods},
    )
    try:
        host.ready(timeout=60)
        yield host
    finally:
        host.delete()
        kube.delete("podvmimage", _KIND)
        kube.delete("podvmclass", _KIND)


def simulated_pod(
    name: str, node: str = NAME, *, script: dict[str, object] | None = None, **spec: object
) -> KubeObject:
    """A Pod whose kubelet pretends by a script."""
    pod = make_pod(name, node, make_container(resources={"requests": {"cpu": "10m", "memory": "16Mi"}}), **spec)
    if script is not None:
        pod["metadata"]["annotations"] = {_SCRIPT: json.dumps(script)}
    return pod
