"""kubectl, as a user has it, for tests: run it, apply objects, and wait on watches instead of sleeping.

Not a Kubernetes client: what a user sees through kubectl is what the tests promise. Objects are made in `builders`.
"""

import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KubeObject = dict[str, Any]
Predicate = Callable[[KubeObject], bool]


class NeverHappened(AssertionError):
    """A condition did not come true in time; carries the last state seen."""


class Kube:
    """kubectl with a kubeconfig and a namespace."""

    def __init__(self, kubectl: Path, kubeconfig: Path, namespace: str = "default") -> None:
        self.kubectl = kubectl
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def within(self, namespace: str) -> "Kube":
        return Kube(self.kubectl, self.kubeconfig, namespace)

    def command(self, *arguments: str) -> list[str]:
        return [str(self.kubectl), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]

    def run(
        self,
        *arguments: str,
        stdin: str | bytes | None = None,
        check: bool = True,
        timeout: float = 120,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs kubectl to its end; output is bytes, since logs and files are."""
        done = subprocess.run(
            self.command(*arguments),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **(env or {})},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()}")
        return done

    def text(self, *arguments: str, **options: Any) -> str:
        return self.run(*arguments, **options).stdout.decode()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts kubectl and leaves it running, with pipes."""
        return subprocess.Popen(
            self.command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def apply(self, *objects: KubeObject) -> list[KubeObject]:
        """Applies objects and returns them as the API server has them."""
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        answer = json.loads(self.text("apply", "-f", "-", "-o", "json", stdin=manifest))
        items: list[KubeObject] = answer["items"] if answer["kind"] == "List" else [answer]
        return items

    def create(self, thing: KubeObject) -> KubeObject:
        created: KubeObject = json.loads(self.text("create", "-f", "-", "-o", "json", stdin=json.dumps(thing)))
        return created

    def get(self, kind: str, name: str) -> KubeObject | None:
        found = self.text("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(found) if found.strip() else None

    def objects(self, kind: str, *arguments: str) -> list[KubeObject]:
        """All objects of a kind in the namespace."""
        items: list[KubeObject] = json.loads(self.text("get", kind, "-o", "json", *arguments))["items"]
        return items

    def node_address(self, node: str) -> str:
        """A Node's InternalIP: where its kubelet API is dialled."""
        found = self.get("node", node)
        assert found is not None, f"node {node}"
        (address,) = [each["address"] for each in found["status"]["addresses"] if each["type"] == "InternalIP"]
        return str(address)

    def pod(self, name: str) -> KubeObject:
        found = self.get("pod", name)
        assert found is not None, f"Pod {name} is not there"
        return found

    def delete(self, kind: str, name: str, *arguments: str) -> None:
        self.run("delete", kind, name, "--wait=false", "--ignore-not-found", *arguments)

    def until(self, kind: str, name: str, predicate: Predicate, *, timeout: float, what: str = "") -> KubeObject:
        """The object, as soon as the predicate holds for it."""
        last: KubeObject | None = None
        for last in self.watch(kind, name, timeout=timeout):
            if predicate(last):
                return last
        wanted = what or getattr(predicate, "__name__", "a condition")
        status = json.dumps((last or {}).get("status"), indent=1)
        raise NeverHappened(f"{kind} {name}: not within {timeout} s: {wanted}; last status: {status}")

    def until_one(self, kind: str, predicate: Predicate, *, timeout: float, what: str) -> KubeObject:
        """An object of a kind, as soon as the predicate holds for one."""
        last: dict[str, KubeObject] = {}
        for thing in self.changes(kind, timeout=timeout):
            if predicate(thing):
                return thing
            last[thing["metadata"]["name"]] = thing.get("status", {})
        raise NeverHappened(f"{kind}: not within {timeout} s: {what}; there were {json.dumps(last, indent=1)}")

    def gone(self, kind: str, name: str, *, timeout: float, uid: str | None = None) -> None:
        """Returns when the object (of that UID) does not exist."""
        deadline = time.monotonic() + timeout
        while (found := self.get(kind, name)) is not None and (uid is None or found["metadata"]["uid"] == uid):
            left = deadline - time.monotonic()
            if left <= 0:
                raise NeverHappened(f"{kind} {name} is still there after {timeout} s")
            self.run("wait", "--for=delete", f"{kind}/{name}", f"--timeout={left:.0f}s", check=False, timeout=left + 30)

    def watch(self, kind: str, name: str, *, timeout: float) -> Iterator[KubeObject]:
        """Every state of one object that the API server tells, until the time is over."""
        yield from self.changes(kind, f"--field-selector=metadata.name={name}", timeout=timeout)

    def changes(self, kind: str, *arguments: str, timeout: float) -> Iterator[KubeObject]:
        """Every state of all objects of a kind that the API server tells, until the time is over."""
        watching = self.start("get", kind, *arguments, "--watch", "-o", "json")
        timer = threading.Timer(timeout, watching.kill)
        timer.start()
        try:
            assert isinstance(watching.stdout, io.BufferedReader)
            stdout = watching.stdout
            yield from _documents(iter(lambda: stdout.read1(65536), b""))
        finally:
            timer.cancel()
            watching.kill()
            watching.wait()

    def events(self, pod: KubeObject) -> list[KubeObject]:
        """The events on this very Pod, oldest first."""
        uid = pod["metadata"]["uid"]
        found = self.objects("events", f"--field-selector=involvedObject.uid={uid}")
        return sorted(found, key=lambda event: event["metadata"]["creationTimestamp"])


def _documents(chunks: Iterator[bytes]) -> Iterator[KubeObject]:
    decoder = json.JSONDecoder()
    text = ""
    for chunk in chunks:
        text += chunk.decode()
        while text.strip():
            text = text.lstrip()
            try:
                document, end = decoder.raw_decode(text)
            except ValueError:
                break  # incomplete yet
            text = text[end:]
            yield document


def condition(pod: KubeObject, kind: str) -> str | None:
    """The status of a condition: True, False, Unknown, or None if it is not there."""
    for found in pod.get("status", {}).get("conditions", ()):
        if found["type"] == kind:
            return str(found["status"])
    return None


def ready(pod: KubeObject) -> bool:
    """The Pod is Ready."""
    return condition(pod, "Ready") == "True"


def running(pod: KubeObject) -> bool:
    """The Pod is Running with every container started."""
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return pod.get("status", {}).get("phase") == "Running" and all("running" in s["state"] for s in statuses)


def in_phase(*phases: str) -> Predicate:
    """The Pod is in one of these phases."""

    def holds(pod: KubeObject) -> bool:
        return pod.get("status", {}).get("phase") in phases

    holds.__name__ = f"phase {' or '.join(phases)}"
    return holds


def container_status(pod: KubeObject, name: str = "main") -> KubeObject:
    """The status of a container, init containers included; empty if there is none yet."""
    status = pod.get("status", {})
    for found in (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())):
        if found["name"] == name:
            return dict(found)
    return {}
