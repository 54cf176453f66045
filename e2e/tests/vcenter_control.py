"""What tests break in vCenter through the simulator's control endpoint: hosts, logins, privileges, vCenter itself."""

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from e2e.lab import simulator
from e2e.lab.simulator import Simulator
from e2e.tests.virtual_machines import ask


class VCenterControl:
    """The control endpoint. `mend` puts everything right again."""

    def __init__(self, vcenter: Simulator) -> None:
        self._vcenter = vcenter
        self._broken: set[str] = set()

    def hosts(self) -> dict[str, dict[str, Any]]:
        """By name."""
        return {host["name"]: host for host in self._ask("GET", "/hosts")}

    def host(self, name: str, state: str, **how: object) -> None:
        """A host is `connected`, `lost`, in `maintenance` or `disconnected` from now on."""
        self._broken.add(name)
        self._ask("PUT", f"/hosts/{self.hosts()[name]['id']}", {"state": state, **how})

    def logins(self, **others: str) -> None:
        """Who may log in besides the administrator."""
        self._ask("PUT", "/logins", {simulator.USER: self._vcenter.password, **others})

    def end_sessions(self, user: str) -> None:
        self._ask("DELETE", f"/sessions?user={user}")

    def privileges(self, user: str, role: Mapping[str, Sequence[str]]) -> None:
        """What a user may do, and nothing else: privileges by inventory path."""
        self._ask("PUT", "/privileges", {"user": user, "role": role})

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """vCenter does not answer. Its guests run on."""
        process = self._vcenter.state.running("simulator")
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def mend(self) -> None:
        for name in self._broken:
            self.host(name, "connected")
        self._broken.clear()
        self._ask("DELETE", "/privileges")
        self.logins()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        return ask(self._vcenter.control_url, method, path, body)
