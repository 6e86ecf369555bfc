"""Parts that every program watches."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from runtime.errors import UnavailableError
from runtime.gateway.health import HealthApi
from runtime.lifecycle import PartFailedError, _must_not_end
from runtime.wiring.common import Common
from tests.harness.async_jobs import ListQueue


class EndedQueue(ListQueue):
    """As RabbitMQ's after a part of it ended."""

    async def wait_failed(self) -> None:
        raise UnavailableError("the queue's part 'publish' ended")


def background(queue: ListQueue) -> Any:
    other = SimpleNamespace(wait_failed=None, run=None)
    common: Any = SimpleNamespace(
        records=other,
        directory=other,
        sweeper=other,
        adapters=SimpleNamespace(queue=queue, peers=None, background={}),
    )
    return Common.background.fget(common)  # type: ignore[attr-defined]


async def test_a_queue_that_ended_ends_the_program() -> None:
    watch = background(EndedQueue())["queue"]
    with pytest.raises(UnavailableError, match="publish"):
        await _must_not_end("queue", watch, asyncio.Event())


async def test_a_queue_that_does_not_end_is_waited_for() -> None:
    task = asyncio.create_task(
        _must_not_end("queue", background(ListQueue())["queue"], asyncio.Event())
    )
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_processes_that_cannot_ask_each_other_are_told_and_do_not_stop_calls() -> None:
    peers = SimpleNamespace(problem="no connection")
    common: Any = SimpleNamespace(adapters=SimpleNamespace(peers=peers))
    health = HealthApi(checks={}, gauges=dict)
    health.watch(beside=Common.beside(common))
    answer = await health.readyz(None)  # type: ignore[arg-type]
    assert isinstance(answer.body, bytes)
    assert (answer.status, orjson.loads(answer.body)) == (
        200,
        {"status": "ready", "degraded": {"other processes": "does not work; the log says why"}},
    )
    assert await health.problems() == {"other processes": "no connection"}
    peers.problem = None
    assert await health.problems() == {}


def test_a_program_that_is_alone_has_no_others() -> None:
    common: Any = SimpleNamespace(adapters=SimpleNamespace(peers=None))
    assert Common.beside(common) == {}


async def test_a_part_that_just_returns_ends_the_program_unless_it_stops() -> None:
    async def returns() -> None: ...

    stop = asyncio.Event()
    with pytest.raises(PartFailedError, match="something"):
        await _must_not_end("something", returns, stop)
    stop.set()
    await _must_not_end("something", returns, stop)
