"""What the vCenter simulator says of its VMs and of the calls it got, through its control endpoint.

It is asked again and again where a test waits: the endpoint has no watch. vSphere's own API is used in
`test_simulator_govc`.
"""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

from e2e.tests.kube import NeverHappened

VM = dict[str, Any]
T = TypeVar("T")


class VirtualMachines:
    """The simulator's control endpoint."""

    def __init__(self, control: str) -> None:
        self.control = control.rstrip("/")

    def all(self) -> list[VM]:
        listed: list[VM] = self._ask("GET", "/vms")
        return listed

    def of(self, uid: str) -> list[VM]:
        """The VMs of a Pod: their names end with the beginning of its UID."""
        return [vm for vm in self.all() if vm["name"].endswith(uid.replace("-", "")[:10])]

    def named(self, name: str) -> VM:
        (found,) = [vm for vm in self.all() if vm["name"] == name]
        return found

    def calls(self) -> dict[str, int]:
        counted: dict[str, int] = self._ask("GET", "/calls")
        return counted

    def reset_calls(self) -> None:
        self._ask("POST", "/calls/reset", {})

    def add_fault(self, **fault: Any) -> str:
        return str(self._ask("POST", "/faults", fault)["id"])

    def remove_fault(self, number: str) -> None:
        self._ask("DELETE", f"/faults/{number}")

    def until(self, uid: str, predicate: Callable[[list[VM]], bool], *, timeout: float, what: str) -> list[VM]:
        """The VMs of a Pod, as soon as the predicate holds for them."""
        return _until(lambda: self.of(uid), predicate, timeout=timeout, what=f"VMs of Pod {uid}: {what}")

    def until_named(self, name: str, predicate: Callable[[VM], bool], *, timeout: float, what: str) -> VM:
        return _until(lambda: self.named(name), predicate, timeout=timeout, what=f"VM {name}: {what}")

    def gone(self, uid: str, *, timeout: float) -> None:
        self.until(uid, lambda vms: not vms, timeout=timeout, what="no VM left")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return ask(self.control, method, path, body)


def _until(look: Callable[[], T], predicate: Callable[[T], bool], *, timeout: float, what: str) -> T:
    deadline = time.monotonic() + timeout
    while not predicate(found := look()):
        if time.monotonic() > deadline:
            raise NeverHappened(f"not within {timeout} s: {what}; there is {found}")
        time.sleep(0.05)
    return found


def ask(control: str, method: str, path: str, body: Any = None) -> Any:
    """One request to the control endpoint."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(control + path, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text.strip() else None
