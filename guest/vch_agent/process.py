"""Run a short-lived program and wait for it. Each run costs 50-300 ms in a guest without KVM: count them.

The programs of a clone are `vmware-rpctool` (`guestinfo`), `openssl` (`pki`, `keys`) and, run by `namespace`, `nft`
(`gateway`); a parent that is prepared runs `ctr`, `modprobe` and `systemctl` too (`system`).
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """How a program ended."""

    code: int
    stdout: str
    stderr: str


class ProgramFailed(Exception):
    """A program is missing, ended with a code that is not 0, or did not end in time."""


async def run(
    arguments: Sequence[str],
    within: float | None = 60,
    stdin: int = asyncio.subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run the program and collect its output (a few kilobytes); `within` None waits for ever.

    `environment` is added to the agent's own.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **environment} if environment else None,
        )
    except OSError as error:
        raise ProgramFailed(f"{arguments[0]} cannot be run: {error}") from error
    try:
        async with asyncio.timeout(within):  # not wait_for, which can lose a cancellation
            stdout, stderr = await process.communicate()
    except TimeoutError:
        raise ProgramFailed(f"{arguments[0]} did not end within {within} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    code = process.returncode
    assert code is not None
    return Result(code, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


async def check(
    arguments: Sequence[str],
    within: float | None = 60,
    stdin: int = asyncio.subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run the program; its standard output.

    Raises ProgramFailed with the last line it said on standard error.
    """
    result = await run(arguments, within, stdin, environment)
    if result.code != 0:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise ProgramFailed(f"{arguments[0]} ended with {result.code}: {said[-1] if said else 'no message'}")
    return result.stdout
