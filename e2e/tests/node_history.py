"""Everything that the API server told of a Node and of a namespace's Pods, in the order in which it happened.

Resource versions are etcd's revisions: they order the objects of different watches. Nothing is sampled.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from e2e.tests.kube import Kube, KubeObject

_SUFFIX = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
}


@contextlib.contextmanager
def recorded(kube: Kube, node: str, folder: Path) -> Iterator[list[KubeObject]]:
    """Watch events of both, sorted; the list is filled at the end."""
    events: list[KubeObject] = []
    files = [folder / "pods.json", folder / "nodes.json"]
    arguments = [["pods"], ["nodes", f"--field-selector=metadata.name={node}"]]
    with contextlib.ExitStack() as stack:
        for place, what in zip(files, arguments, strict=True):
            output = stack.enter_context(place.open("wb"))
            command = kube.command("get", *what, "--watch", "--output-watch-events", "-o", "json")
            stack.callback(_end, subprocess.Popen(command, stdout=output))
        yield events
    for place in files:
        events += _documents(place.read_text())
    events.sort(key=lambda event: int(event["object"]["metadata"]["resourceVersion"]))


def overcommitted(events: list[KubeObject], node: str) -> list[str]:
    """The instants at which the Pods that were bound to the Node and had not ended asked for more than it offered.

    That the Node offers less, or a Pod ends, is no decision of the scheduler's: only bindings are judged.
    """
    pods: dict[str, KubeObject] = {}
    offered: dict[str, str] = {}
    found: list[str] = []
    for event in events:
        thing = event["object"]
        if thing["kind"] == "Node":
            offered = thing["status"]["allocatable"]
            continue
        uid = thing["metadata"]["uid"]
        bound = _takes(thing, node) and not (uid in pods and _takes(pods[uid], node))
        pods[uid] = thing
        if event["type"] == "DELETED":
            del pods[uid]
        elif bound and offered:
            found += _beyond([pod for pod in pods.values() if _takes(pod, node)], offered, thing)
    return found


def _beyond(pods: list[KubeObject], offered: dict[str, str], last: KubeObject) -> Iterator[str]:
    wanted = {"pods": Decimal(len(pods)), "cpu": Decimal(0), "memory": Decimal(0)}
    for pod in pods:
        for part in (*(c.get("resources", {}).get("requests", {}) for c in pod["spec"]["containers"]), _overhead(pod)):
            for name in part.keys() & wanted.keys():
                wanted[name] += amount(part[name])
    for name, sum_wanted in wanted.items():
        if sum_wanted > amount(offered[name]):
            at = last["metadata"]["resourceVersion"]
            yield f"at {at}, {last['metadata']['name']}: {name} {sum_wanted} of {offered[name]}"


def amount(quantity: str) -> Decimal:
    """A quantity as Pods and Nodes of these tests have them."""
    number = quantity.rstrip("KMGim")
    return Decimal(number) * _SUFFIX[quantity[len(number) :]]


def _overhead(pod: KubeObject) -> dict[str, str]:
    return dict(pod["spec"].get("overhead") or {})


def _takes(pod: KubeObject, node: str) -> bool:
    return pod["spec"].get("nodeName") == node and pod["status"].get("phase") not in ("Succeeded", "Failed")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


def _documents(text: str) -> Iterator[dict[str, Any]]:
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            return  # the last one was being written
        yield document
        while at < len(text) and text[at].isspace():
            at += 1
