"""What workers need of parents, of a vSphere with one parent: `parent_controller.Placing`, and no standby clones."""

import contextlib
from collections.abc import Iterator

from provider.errors import NoParentReady, ProviderError
from provider.parent_slots import Demand
from provider.parentvm import ParentVM
from provider.plan import Offer, PodPlan
from provider.podvm import PodVM, PodVMClass
from tests.builders import make_offer
from tests.pod_controller.fake_vsphere import FakeVSphere


class FakeParents:
    """`offered` is what Pods may get; None: not known yet."""

    def __init__(self, vsphere: FakeVSphere) -> None:
        self.offered: Offer | None = make_offer()
        self.refusals: list[ProviderError] = []
        self.lent = 0
        self._vsphere = vsphere

    def offer(self) -> Offer | None:
        return self.offered

    def place(self, demand: Demand) -> ParentVM:
        parent = self._vsphere.parent
        if parent is None or not parent.frozen:
            raise NoParentReady("no parent is ready: its parent is being made")
        return parent

    @contextlib.contextmanager
    def lend(self, parent: ParentVM) -> Iterator[None]:
        self.lent += 1
        try:
            yield
        finally:
            self.lent -= 1

    def refused(self, parent: ParentVM, error: ProviderError) -> None:
        self.refusals.append(error)

    def size(self, vm: PodVM) -> PodVMClass | None:
        return PodVMClass(2000, 2**30)

    def overhead(self, vm: PodVM) -> PodVMClass | None:
        return PodVMClass(0, 0)


class FakeStandby:
    """`standby_controller.StandbyController`: what it has is what a test gives it."""

    def __init__(self) -> None:
        self.there: list[PodVM] = []
        self.returned: list[PodVM] = []
        self.counted: list[str] = []

    def take(self, plan: PodPlan) -> PodVM | None:
        return self.there.pop(0) if self.there else None

    def give_back(self, vm: PodVM) -> None:
        """Not to be had again: each is tried once."""
        self.returned.append(vm)

    def bound(self) -> None:
        self.counted.append("hit")

    def cloned(self, plan: PodPlan) -> None:
        self.counted.append("miss")
