"""What this machine has become, remembered: the clone, its pod, a refusal. None of it can ever be taken back.

On tmpfs for an agent that restarts; the disk's part (`keys` writes the clone's id there) for a machine that boots.
"""

from . import files
from .identity import Identity
from .settings import Settings


class Latched(Exception):
    """This machine is something else already; `reason` is one CamelCase word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Latch:
    """Files with one word each."""

    def __init__(self, settings: Settings) -> None:
        self._clone = settings.run / "clone-id"
        self._refused = settings.run / "refused"
        self._disk = settings.lib / "clone-id"
        self._pod = settings.lib / "pod-uid"

    def clone(self) -> str | None:
        """The clone that this machine is or ever was; None: it may still be a parent."""
        return files.read(self._clone) or files.read(self._disk)

    def become(self, who: Identity) -> bool:
        """Be this clone from now on; whether it was already before a restart of the agent. Raises Latched."""
        before, pod = files.read(self._clone), files.read(self._pod)
        if (message := files.read(self._refused)) is not None:
            raise Latched("CloneOfClone", message)
        if before is not None and before != who.clone_id:
            raise Latched("CloneOfClone", f"this machine is clone {before}; guestinfo speaks of {who.clone_id}")
        if pod is not None and pod != who.uid and files.read(self._disk) in (None, who.clone_id):
            raise Latched("OtherPod", f"this machine is of pod {pod}; guestinfo speaks of {who.uid or 'none'}")
        files.write(self._clone, who.clone_id)
        return before is not None

    def bind(self, who: Identity) -> None:
        """Be its pod's, also after a boot. An ordinary clone does this when it has reported: it costs a file."""
        if who.uid and files.read(self._pod) is None:
            files.write(self._pod, who.uid)

    def refuse(self, message: str) -> None:
        """Never serve again until a boot, which finds the reason again."""
        files.write(self._refused, message)
