"""Runs a short program of the system for its exit code and output, with nothing of our environment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sandbox.api import SandboxError

_TIMEOUT_S = 10.0
_OUTPUT_MAX = 8000


async def run_program(
    command: Sequence[str], *, pass_fds: Sequence[int] = (), stderr: bool = True
) -> tuple[int, str]:
    """Exit code and output of a program that ends by itself; output with what it wrote to `stderr`, or
    without. Raises SandboxError."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT if stderr else asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
            pass_fds=pass_fds,
        )
    except OSError as error:
        raise SandboxError(f"{command[0]} does not start: {error.strerror or error}.") from error
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise SandboxError(f"{command[0]} did not end within {_TIMEOUT_S:g} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode("utf-8", "replace").strip()[:_OUTPUT_MAX]
