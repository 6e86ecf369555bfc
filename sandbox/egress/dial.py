"""Connects to addresses that were checked, and to nothing else.

Several addresses are tried in the manner of RFC 8305: the next one starts when the one before has
failed or has taken a while, the first connection wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, ip_address
from itertools import chain, zip_longest

from sandbox.egress.networks import Address

Connect = Callable[[Address, int], Awaitable[socket.socket]]
"""A connected, non-blocking TCP socket. Raises OSError; cancellation leaves nothing open."""


async def connect(address: Address, port: int) -> socket.socket:
    """`Connect` as the system does it."""
    # With its protocol named, so that asyncio turns the waiting for full segments off.
    connection = socket.socket(_family(address), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connection.settimeout(0)
        await asyncio.get_running_loop().sock_connect(connection, (str(address), port))
    except BaseException:
        connection.close()
        raise
    return connection


def is_own(address: Address) -> bool:
    """Whether `address` is one of this machine's own, so that a connection stays on it.

    Asks the routing table: no packet leaves. A public address of the machine leads to the same
    services as its loopback addresses.
    """
    with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))
            source = ip_address(probe.getsockname()[0])
        except OSError:  # no route; connecting will tell
            return False
    # What is delivered on the machine comes from the address itself, or from a loopback address.
    return source == address or source.is_loopback


async def dial(
    addresses: Sequence[Address], port: int, *, attempt_delay_s: float, connect: Connect = connect
) -> socket.socket:
    """One connection to any of `addresses`. Raises the first attempt's OSError when all failed.

    Cancellation ends all attempts. The caller bounds the time.
    """
    if len(addresses) == 1:
        return await connect(addresses[0], port)
    waiting = _alternating(addresses)
    attempts: set[asyncio.Task[socket.socket]] = set()
    first_error: OSError | None = None
    winner: asyncio.Task[socket.socket] | None = None
    more = True
    try:
        while True:
            address = next(waiting, None)
            more = address is not None
            if address is not None:
                attempts.add(_attempt(connect, address, port))
            if not attempts:
                raise first_error or OSError("there is no address to connect to")
            done, _ = await asyncio.wait(
                attempts,
                timeout=attempt_delay_s if more else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    winner = attempt
                    return attempt.result()
                attempts.discard(attempt)
                if not isinstance(error, OSError):
                    raise error
                first_error = first_error or error
    finally:
        try:
            await _give_up(attempts - {winner})
        except BaseException:
            if winner is not None:
                winner.result().close()
            raise


def _attempt(connect: Connect, address: Address, port: int) -> asyncio.Task[socket.socket]:
    async def attempt() -> socket.socket:
        return await connect(address, port)

    return asyncio.create_task(attempt(), name=f"connect to {address} port {port}")


async def _give_up(attempts: Iterable[asyncio.Task[socket.socket]]) -> None:
    """End what is under way, and close what connected too late."""
    attempts = list(attempts)
    for attempt in attempts:
        attempt.add_done_callback(_close_late)
        attempt.cancel()
    if attempts:
        await asyncio.wait(attempts)


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        with contextlib.suppress(OSError):
            attempt.result().close()


def _alternating(addresses: Sequence[Address]) -> Iterator[Address]:
    """The resolver's order, but its families in turn, beginning with that of the first."""
    first = [address for address in addresses if address.version == addresses[0].version]
    second = [address for address in addresses if address.version != addresses[0].version]
    pairs = chain.from_iterable(zip_longest(first, second))
    return (address for address in pairs if address is not None)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
