"""The parents of one virtual node, kept as its VCH wants them.

`inventory` is what vSphere shows of parents, hosts and the pool, `controller` takes (by `steps`) what
`parent_lifecycle` decides, `mirror` shows both as ParentVM objects, `image_mirror` what is in them as PodVMImages'
statuses. Which parents are wanted is `parent_slots`, which of them a Pod is cloned from `placement`.
"""

from provider.parent_controller.controller import ParentController, Wants
from provider.parent_controller.image_mirror import ImageMirror
from provider.parent_controller.inventory import ParentInventory
from provider.parent_controller.mirror import ParentMirror
from provider.parent_controller.placing import Placing

__all__ = ["ImageMirror", "ParentController", "ParentInventory", "ParentMirror", "Placing", "Wants"]
