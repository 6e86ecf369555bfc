"""Looks names up: bounded in time and in number, for the worker and for each sandbox.

A look-up that hangs cannot be stopped, only left alone. Each has a daemon thread of its own, so
that it holds up neither the loop's common threads nor the end of the worker, and it counts as under
way until the thread is done, whoever gave up on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from sandbox.egress.answers import NotConnected, failed
from sandbox.egress.networks import Address

Lookup = Callable[[str], Sequence[str]]
"""Blocking: the addresses of a name as text, in order of preference. Raises OSError."""

_NOT_FOUND = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def system_lookup(name: str) -> Sequence[str]:
    """What this machine's resolver says, its hosts file and search domains included."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Names:
    """All look-ups of one worker. Used in the loop's thread only."""

    def __init__(self, lookup: Lookup = system_lookup, *, under_way_max: int = 32) -> None:
        self._lookup = lookup
        self._slots = asyncio.Semaphore(under_way_max)

    def share(self, under_way_max: int) -> NamesShare:
        """One sandbox's part, so that no sandbox takes all slots."""
        return NamesShare(self, under_way_max)

    async def start(self, name: str) -> asyncio.Future[Sequence[Address] | OSError]:
        """Wait for a slot and start a look-up; the future is done when its thread is, and must not
        be cancelled. It never raises: an error is its result."""
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Sequence[Address] | OSError] = loop.create_future()
        done.add_done_callback(lambda _: self._slots.release())
        thread = threading.Thread(
            target=self._run, args=(name, loop, done), name=f"look up {name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads
            done.set_result(OSError(socket.EAI_AGAIN, "no thread to look it up"))
        return done

    def _run(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[Sequence[Address] | OSError],
    ) -> None:
        result: Sequence[Address] | OSError
        try:
            result = [ip_address(text) for text in self._lookup(name)]
        except OSError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - e.g. UnicodeError; the slot must come back
            result = OSError(socket.EAI_FAIL, repr(error))
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(done.set_result, result)


class NamesShare:
    """One sandbox's look-ups."""

    def __init__(self, names: Names, under_way_max: int) -> None:
        self._names = names
        self._slots = asyncio.Semaphore(under_way_max)

    async def resolve(self, name: str, *, timeout_s: float) -> Sequence[Address]:
        """All addresses of `name`, at least one, in the resolver's order; waiting included within
        `timeout_s`. Raises NotConnected (failed). Cancellation leaves the look-up to its thread."""
        try:
            async with asyncio.timeout(timeout_s):
                found = await self._resolve(name)
        except TimeoutError:
            raise failed("EAI_AGAIN", f"{name} was not looked up within {timeout_s:g} s") from None
        if isinstance(found, OSError):
            raise _failure(name, found) from found
        if not found:
            raise failed("ENOTFOUND", f"{name} has no address")
        return found

    async def _resolve(self, name: str) -> Sequence[Address] | OSError:
        await self._slots.acquire()
        try:
            done = await self._names.start(name)
        except BaseException:
            self._slots.release()
            raise
        done.add_done_callback(lambda _: self._slots.release())
        return await asyncio.shield(done)


def _failure(name: str, error: OSError) -> NotConnected:
    if error.errno in _NOT_FOUND:
        return failed("ENOTFOUND", f"{name} is not known")
    if error.errno == socket.EAI_AGAIN:
        return failed("EAI_AGAIN", f"{name} could not be looked up for now")
    return failed("EAI_FAIL", f"{name} could not be looked up")
