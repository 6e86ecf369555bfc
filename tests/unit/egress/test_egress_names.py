"""Look-ups: bounded for the worker and for each sandbox, whatever becomes of those who asked."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import pytest

from sandbox.egress.answers import NotConnected
from sandbox.egress.names import Names, NamesShare, system_lookup


class HeldLookups:
    """Look-ups that end when `release` is set; counts those under way."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.under_way = 0
        self.most = 0
        self.started = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __call__(self, name: str) -> Sequence[str]:
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.started.release()
        assert self.release.wait(30)
        with self._lock:
            self.under_way -= 1
        return ["192.0.2.1"]

    async def wait_started(self, number: int) -> None:
        for _ in range(number):
            assert await asyncio.to_thread(self.started.acquire, timeout=30)


async def test_all_addresses_in_the_order_of_the_resolver() -> None:
    share = Names(lambda _: ["2606:4700::1", "10.0.0.1", "8.8.8.8"]).share(1)

    found = await share.resolve("example.com", timeout_s=30)

    assert list(found) == [ip_address(text) for text in ("2606:4700::1", "10.0.0.1", "8.8.8.8")]


def failing(error: Exception) -> Callable[[str], Sequence[str]]:
    def lookup(name: str) -> Sequence[str]:
        raise error

    return lookup


@pytest.mark.parametrize(
    ("lookup", "code"),
    [
        (failing(socket.gaierror(socket.EAI_NONAME, "x")), "ENOTFOUND"),
        (failing(socket.gaierror(socket.EAI_AGAIN, "x")), "EAI_AGAIN"),
        (failing(socket.gaierror(socket.EAI_FAIL, "x")), "EAI_FAIL"),
        (failing(UnicodeError("label too long")), "EAI_FAIL"),
        (lambda _: [], "ENOTFOUND"),
        (lambda _: ["not an address"], "EAI_FAIL"),
    ],
)
async def test_a_failure_has_the_code_that_node_gives_it(
    lookup: Callable[[str], Sequence[str]], code: str
) -> None:
    share = Names(lookup, under_way_max=1).share(1)

    for _ in range(3):  # the slots come back
        with pytest.raises(NotConnected) as caught:
            await share.resolve("example.com", timeout_s=30)
        assert (caught.value.answer.status, caught.value.answer.code) == (502, code)
        assert "example.com" in caught.value.answer.reason


async def test_a_sandbox_has_no_more_look_ups_than_its_share() -> None:
    lookups = HeldLookups()
    names = Names(lookups, under_way_max=8)
    greedy, modest = names.share(2), names.share(2)
    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(greedy.resolve(f"a{number}.example", timeout_s=30))
        await lookups.wait_started(2)
        tasks.create_task(modest.resolve("b.example", timeout_s=30))
        await lookups.wait_started(1)
        assert lookups.most == 3
        lookups.release.set()

    assert lookups.most <= 4
    assert lookups.under_way == 0


async def test_all_sandboxes_have_no_more_look_ups_than_the_worker() -> None:
    lookups = HeldLookups()
    names = Names(lookups, under_way_max=3)
    async with asyncio.TaskGroup() as tasks:
        for number in range(9):
            tasks.create_task(names.share(2).resolve(f"a{number}.example", timeout_s=30))
        await lookups.wait_started(3)
        lookups.release.set()

    assert lookups.most == 3


async def resolve_in_vain(share: NamesShare) -> None:
    with pytest.raises(NotConnected) as caught:
        await share.resolve("slow.example", timeout_s=0.001)
    assert caught.value.answer.code == "EAI_AGAIN"


async def test_a_look_up_that_nobody_waits_for_still_counts() -> None:
    lookups = HeldLookups()
    share = Names(lookups, under_way_max=8).share(1)
    task = asyncio.create_task(share.resolve("slow.example", timeout_s=30))
    await lookups.wait_started(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await resolve_in_vain(share)  # its slot is still taken, so this one does not even start
    assert lookups.most == 1

    lookups.release.set()
    assert await share.resolve("fast.example", timeout_s=30)


async def test_names_of_this_machine_are_found() -> None:
    addresses = system_lookup("localhost")

    assert len(set(addresses)) == len(addresses) > 0
    assert all(ip_address(address).is_loopback for address in addresses)
