"""What is counted of a Pod's life: its start by stage, its VM, its end, and what failed on the way."""

from prometheus_client import REGISTRY

from provider import errors
from tests.pod_controller.fake_pods import NODE
from tests.pod_controller.world import World


class Since:
    """What has been counted since it was made: the registry is the process', other tests have counted before."""

    def __init__(self) -> None:
        self._before = _samples()

    def __call__(self, name: str, **labels: str) -> float:
        key = (name, frozenset({"vch": NODE, **labels}.items()))
        return _samples().get(key, 0.0) - self._before.get(key, 0.0)

    def changed(self) -> set[tuple[str, frozenset]]:
        return {key for key, value in _samples().items() if value != self._before.get(key, 0.0)}


def _samples() -> dict[tuple[str, frozenset], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.labels.get("vch") == NODE
    }


async def test_a_pods_life_is_counted_once(world: World) -> None:
    counted = Since()
    await world.run_pod()
    await world.passes(300)
    world.pods.delete("web")
    await world.until(lambda: not world.vsphere.vms)
    await world.passes(300)
    for stage in ("clone_sent", "cloned", "guest_ready", "running"):
        assert counted("vch_pod_start_stage_duration_seconds_count", stage=stage) == 1
    vm_class = {"class": "small"}
    assert counted("vch_pod_start_duration_seconds_count", result="success", **vm_class) == 1
    assert counted("vch_instant_clone_duration_seconds_count", result="success", **vm_class) == 1
    assert counted("vch_pod_termination_duration_seconds_count", result="success") == 1
    names = {name for name, _ in counted.changed()}
    assert not names & {"vch_pod_start_errors_total", "vch_step_failures_total", "vch_mass_destroy_brakes_total"}


async def test_attempts_that_fail_are_counted_by_reason(world: World) -> None:
    counted = Since()
    world.vsphere.fail("clone", errors.VMBusy("busy"), errors.VMBusy("busy"))
    await world.run_pod()
    vm_class = {"class": "small"}
    assert counted("vch_pod_start_errors_total", reason="VMBusy") == 2
    assert counted("vch_step_failures_total", step="clone", reason="VMBusy") == 2
    assert counted("vch_instant_clone_duration_seconds_count", result="error", **vm_class) == 2
    assert counted("vch_pod_start_duration_seconds_count", result="success", **vm_class) == 1
    assert counted("vch_pod_start_duration_seconds_count", result="error", **vm_class) == 0


async def test_a_refused_pod_is_a_start_that_failed(world: World) -> None:
    counted = Since()
    world.pods.create("host", hostNetwork=True)
    await world.until(lambda: world.pods.phase("host") == "Failed")
    assert counted("vch_pod_start_errors_total", reason="UnsupportedPodSpec") == 1
    assert counted("vch_pod_start_duration_seconds_count", result="error", **{"class": ""}) == 1


async def test_a_pod_that_is_adopted_is_no_start(world: World) -> None:
    await world.run_pod()
    counted = Since()
    await world.restart()
    await world.passes(60)
    assert not {name for name, _ in counted.changed() if "start" in name}
