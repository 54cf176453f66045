"""A cancellation that an asyncio.TaskGroup must not lose.

Before Python 3.13 a group one of whose tasks fails at the moment at which it is cancelled itself raises that task's
error and says nothing of the cancellation (cpython issue 116720). Whoever handles it and goes on would never end.

There is a second trap: a group whose body is over cancels the task that waits for it when one of its tasks fails, and
does not take that back. So bodies of groups whose errors are handled do not end: they wait `forever`.
"""

import asyncio


async def forever() -> None:
    """Returns never: the last line of a group's body."""
    await asyncio.get_running_loop().create_future()


def heed() -> None:
    """To be called where errors of a group are handled. Raises CancelledError if this task is to end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
