"""`python3 -m vch_agent`: log to standard error, live until SIGTERM."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time

from . import phases, settings
from .process import ProgramFailed


class _SinceBoot(logging.Formatter):
    """Seconds since the machine's boot in the place of the date, which jumps at a thaw."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return f"{time.monotonic():.3f}"


def main() -> int:
    """Run the agent; 0 after SIGTERM."""
    level = logging.DEBUG if os.environ.get("VCH_DEBUG") else logging.INFO
    logs = logging.StreamHandler(sys.stderr)
    logs.setFormatter(_SinceBoot("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[logs])
    os.umask(0o077)
    try:
        found = settings.from_environment()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if sys.version_info < (3, 12):
        # As later versions do by themselves: no thread for each program that is waited for.
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    try:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(_until_terminated(found))
    except (OSError, ProgramFailed, ValueError) as error:
        logging.getLogger("vch_agent").error("%s: %s", type(error).__name__, error)
        return 1
    return 0


async def _until_terminated(found: settings.Settings) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await phases.run(found)


if __name__ == "__main__":
    sys.exit(main())
