"""What tests add to a laboratory's VCH for a while: images, classes, settings; taken away again at the end.

Parents come and go with them, which takes a boot or two; a test that needs some says so by waiting for them here.
"""

import contextlib
import json
from collections.abc import Iterator

from e2e.lab.vch_operator import made
from e2e.tests.kube import Kube, KubeObject, condition

PARENTS_WITHIN = 600  # seconds; a guest boots for minutes where there is no KVM and the machine is busy


@contextlib.contextmanager
def offered(kube: Kube, vch: str, things: list[KubeObject], **spec: KubeObject | str) -> Iterator[None]:
    """PodVMImages and PodVMClasses are there, and the VCH's spec has these parts besides its own."""
    host = kube.get("virtualcontainerhost", vch)
    assert host is not None
    before = {name: host["spec"].get(name) for name in spec}
    if things:
        kube.apply(*things)
    try:
        change(kube, vch, **{name: _over(before[name], part) for name, part in spec.items()})
        yield
    finally:
        change(kube, vch, **before)
        for thing in things:
            kube.delete(thing["kind"], thing["metadata"]["name"])
        gone = {thing["metadata"]["name"] for thing in things}
        for parent in parents(kube, vch):
            if gone & {parent["spec"]["image"], parent["spec"]["class"]} or parent["spec"].get("namespace"):
                kube.gone("parentvm", parent["metadata"]["name"], timeout=120)


def _over(old: KubeObject | None, part: KubeObject | str) -> KubeObject | str:
    return part if isinstance(part, str) else {**(old or {}), **part}


def change(kube: Kube, vch: str, **spec: KubeObject | str | None) -> None:
    """Parts of the VCH's spec, each whole; None: no longer there."""
    operations = [
        {
            "op": "remove" if part is None else "add",
            "path": f"/spec/{name}",
            **({} if part is None else {"value": part}),
        }
        for name, part in spec.items()
    ]
    kube.run("patch", "virtualcontainerhost", vch, "--type=json", f"--patch={json.dumps(operations)}")


def parents(kube: Kube, vch: str) -> list[KubeObject]:
    """A VCH's ParentVM objects; one that was created this moment has no status yet, and is left out."""
    return [found for found in kube.objects("parentvm", f"--selector=vch.dev/vch={vch}") if found.get("status")]


def parent(kube: Kube, vch: str, image: str, vm_class: str, namespace: str = "") -> KubeObject:
    """The parent of that image and class, as soon as it can be cloned."""
    wanted = {"image": image, "class": vm_class, "namespace": namespace}

    def ready(thing: KubeObject) -> bool:
        its = {name: thing["spec"].get(name, "") for name in wanted}
        return its == wanted and condition(thing, "Ready") == "True"

    return kube.until_one("parentvm", ready, timeout=PARENTS_WITHIN, what=f"a ready parent of {wanted}")


def image(name: str, **spec: object) -> KubeObject:
    return made("PodVMImage", name, spec)


def vm_class(name: str, **spec: object) -> KubeObject:
    return made("PodVMClass", name, {"overhead": {"memory": "192Mi"}, **spec})
