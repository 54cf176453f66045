"""The loop that gives every Pod of a virtual node its VM: what `lifecycle` decides is done here.

`controller` knows all Pods and VMs of the node and hands each fact to the `worker` of its UID; a worker asks
`lifecycle` for the next step and takes it, for ever, until neither Pod nor VM is left. `guest` keeps one guest fed,
`inventory` remembers what vSphere shows, `surroundings` is what they all stand on.
"""

from provider.pod_controller.controller import PodController
from provider.pod_controller.inventory import Inventory
from provider.pod_controller.surroundings import Surroundings

__all__ = ["Inventory", "PodController", "Surroundings"]
