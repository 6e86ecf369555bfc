from __future__ import annotations

import asyncio

from runtime.tasks import end_tasks


async def _loses_cancellations(count: int, lost: list[int]) -> None:
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if len(lost) == count:
                raise
            lost.append(len(lost))


async def test_a_task_that_loses_a_cancellation_is_ended() -> None:
    lost: list[int] = []
    task = asyncio.create_task(_loses_cancellations(2, lost))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end_tasks([task])
    assert task.cancelled()
    assert lost == [0, 1]


async def test_tasks_that_ended_keep_what_they_gave() -> None:
    async def give() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("why")

    given, failed = asyncio.create_task(give()), asyncio.create_task(fail())
    await asyncio.wait({given, failed})
    await end_tasks([given, failed])
    assert given.result() == 7
    assert str(failed.exception()) == "why"


async def test_no_tasks_are_ended_at_once() -> None:
    await end_tasks([])
