"""A cancellation that an asyncio.TaskGroup must not lose.

Before Python 3.13 a group one of whose tasks fails at the moment at which it is cancelled itself raises that task's
error and says nothing of the cancellation (cpython issue 116720). Whoever handles the error and goes on would never
end.
"""

import asyncio


def heed() -> None:
    """To be called where errors of a group are handled. Raises CancelledError if this task is to end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
