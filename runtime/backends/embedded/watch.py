"""Whether the embedded document server still serves, seen from outside. It runs commands of all spaces in
one interpreter, so one command may take it away from all.

Three ways in which a server is lost although its process lives, each with its sign:

*   *deaf*: the interpreter does not turn, as inside one long match of a regular expression, which can
    not be interrupted. Sign: a new connection gets no answer to `hello`, which needs no lock and no login.
    Measured: 0.02 s while an index is built, 0.5 s under 90 concurrent sorts of 10,000 documents.
*   *stuck*: its storage is locked. Sign: a `hello` that asks for our user, who has to be read, gets no
    answer. The making of an index takes that lock for as long as it lasts (11 s for 30,000 keys), so this
    bound is a long one.
*   *runaway*: a command goes on although its caller has long hung up; the server looks at `maxTimeMS`
    between documents and stages only. Sign: a connection that only the other side has closed.

What is asked twice is asked anew, so a program that itself slept finds its server well.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import bson

from runtime.backends.embedded.login import USER
from runtime.tasks import end_tasks

_ASKED: Final = 2
"""Questions in a row that stay without an answer."""
_PAUSES: Final = 5
"""Between questions: so many in the bound."""
_AGAIN_S: Final = 0.1
_HEADER: Final = struct.Struct("<iiii")
_MESSAGE: Final = 2013  # OP_MSG
_CONNECTIONS: Final = Path("/proc/net/tcp")
_CLOSED_BY_PEER: Final = "08"

Question = Callable[[], Awaitable[None]]
"""Returns when there is an answer of whatever kind; OSError: none could be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedBounds:
    """What the embedded server may take before it is replaced."""

    deaf_s: float = 5.0
    """Without an answer to a new connection."""
    stuck_s: float = 60.0
    """Without a look at its storage; and how long a command may run on when nobody waits for it."""
    memory_max_bytes: int = 3 * 1024**3
    """Memory that it may write to. Measured: 290 MB at its start, 8 MB for each connection, and a scan
    holds its collection (4 scans of 200 MB: 2 GB)."""


async def wait_lost(port: int, bounds: EmbeddedBounds) -> str:
    """Wait until the server at this port has to be replaced; returns why. Cancelling ends the watch."""
    reading_user = partial(say_hello, port, saslSupportedMechs=f"admin.{USER}")
    watches = {
        asyncio.create_task(wait_silent(partial(say_hello, port), bounds.deaf_s)): (
            f"deaf: no answer to a new connection for {bounds.deaf_s:g} s"
        ),
        asyncio.create_task(wait_silent(reading_user, bounds.stuck_s)): (
            f"stuck: its storage could not be read for {bounds.stuck_s:g} s"
        ),
        asyncio.create_task(_wait_runaway(port, bounds.stuck_s)): (
            f"runaway: a command still runs {bounds.stuck_s:g} s after its caller has hung up"
        ),
    }
    try:
        done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(list(watches))
    first = done.pop()
    first.result()  # a watch that failed is a defect: say so
    return watches[first]


async def wait_silent(question: Question, limit_s: float) -> None:
    """Return when nobody has answered for `limit_s`; a new question is put in half of that time."""
    missed = 0
    while missed < _ASKED:
        if await _answered(question, limit_s / _ASKED):
            missed = 0
            await asyncio.sleep(limit_s / _PAUSES)
        else:
            missed += 1


async def _answered(question: Question, timeout_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await question()
                except OSError:
                    await asyncio.sleep(_AGAIN_S)
                else:
                    return True
    return False


async def say_hello(port: int, **asking: str) -> None:
    """Let a new connection be answered, or be closed by the server, which takes an interpreter too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = bytes(5) + bson.encode({"hello": 1, **asking, "$db": "admin"})
        writer.write(_HEADER.pack(_HEADER.size + len(body), 1, 0, _MESSAGE) + body)
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
    finally:
        writer.close()


async def _wait_runaway(port: int, limit_s: float) -> None:
    now = asyncio.get_running_loop().time
    since: dict[str, float] = {}
    while True:
        left = await asyncio.to_thread(_left_connections, port)
        since = {peer: since.get(peer, now()) for peer in left}
        if any(now() - first >= limit_s for first in since.values()):
            return
        await asyncio.sleep(limit_s / _PAUSES)


def _left_connections(port: int) -> set[str]:
    """Peers that have hung up and to whom the server has not: it reads nothing while it runs a command.

    Only Linux tells; elsewhere there are none."""
    try:
        lines = _CONNECTIONS.read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    return left_connections(lines, port)


def left_connections(lines: list[str], port: int) -> set[str]:
    """Of the lines of /proc/net/tcp: number, local and remote address in hexadecimal digits, state."""
    fields = (line.split(maxsplit=4) for line in lines[1:])
    return {
        remote
        for _, local, remote, state, _ in fields
        if state == _CLOSED_BY_PEER and local.endswith(f":{port:04X}")
    }
