"""How long a Pod takes from being bound to a node until it runs, as a user sees it through a watch."""

import time

from e2e.tests.kube import Kube, KubeObject, NeverHappened, running


def bind_to_running(kube: Kube, pod: KubeObject, *, timeout: float = 300) -> float:
    """Seconds. The Pod is made for it, and is there afterwards."""
    name, bound = pod["metadata"]["name"], None
    kube.apply(pod)
    for seen in kube.watch("pod", name, timeout=timeout):
        now = time.monotonic()
        if bound is None and seen["spec"].get("nodeName"):
            bound = now
        if running(seen):
            assert bound is not None
            return now - bound
    raise NeverHappened(f"Pod {name} did not run within {timeout} s")
