"""The record writer: nothing blocks the caller, nothing grows without bound, every loss is counted."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from runtime.errors import OursError, UnavailableError
from runtime.testing.record_store import sample_record
from sandbox.api import LogLevel, LogLine
from tests.harness.clock import FakeClock
from tests.unit.record_writer_support import (
    DAY_MS,
    EVERYTHING,
    LONG_S,
    ScriptedStore,
    ids,
    some,
    writer,
)


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


# batches


async def test_full_batch_is_written_at_once(store: ScriptedStore) -> None:
    records = some(10)
    async with writer(store) as sink:
        for record in records:
            sink.append(record)
        await store.seen(batches=1)
    assert store.batches == [ids(records)]
    assert (sink.written, sink.dropped, sink.failed_batches, sink.buffered) == (10, 0, 0, 0)


async def test_record_waits_no_longer_than_the_flush_interval(store: ScriptedStore) -> None:
    records = some(2)
    async with writer(store, flush_s=0.001) as sink:
        for record in records:
            sink.append(record)
            await store.seen(batches=len(store.batches) + 1)
    assert store.batches == [[record.request_id] for record in records]


async def test_nothing_is_written_when_nothing_is_there(store: ScriptedStore) -> None:
    async with writer(store, flush_s=0, prune_s=0.001) as sink:
        sink.append(some(1)[0])
        assert await sink.flush(LONG_S)
        await store.seen(prunes=len(store.prunes) + 3)  # the loop has turned several times
    assert len(store.batches) == 1


async def test_flush_writes_what_is_there(store: ScriptedStore) -> None:
    records = some(3)
    async with writer(store) as sink:
        assert await sink.flush(LONG_S)
        for record in records:
            sink.append(record)
        assert await sink.flush(LONG_S)
        assert sink.written == 3
        assert await sink.flush(0)
    assert store.batches == [ids(records)]


async def test_many_records_go_in_order_in_batches(store: ScriptedStore) -> None:
    records = some(25)
    async with writer(store) as sink:
        for record in records:
            sink.append(record)
        assert await sink.flush(LONG_S)
    assert store.batches == [ids(records[:10]), ids(records[10:20]), ids(records[20:])]


async def test_batch_is_bounded_by_its_text_too(store: ScriptedStore) -> None:
    line = LogLine(level=LogLevel.INFO, time_ms=1, text="x" * 3_000_000)
    records = [sample_record(lines=(line,)) for _ in range(3)]
    async with writer(store) as sink:
        for record in records:
            sink.append(record)
        assert await sink.flush(LONG_S)
    assert store.batches == [[record.request_id] for record in records]


async def test_what_comes_during_a_write_goes_with_the_next_batch(store: ScriptedStore) -> None:
    records = some(15)
    store.gate.clear()
    async with writer(store) as sink:
        for record in records[:10]:
            sink.append(record)
        await store.seen(batches=1)
        for record in records[10:]:
            sink.append(record)
        assert sink.buffered == 15
        store.gate.set()
        assert await sink.flush(LONG_S)
    assert store.batches == [ids(records[:10]), ids(records[10:])]


# flush


async def test_flush_gives_up_after_its_time(store: ScriptedStore) -> None:
    store.gate.clear()
    async with writer(store) as sink:
        sink.append(some(1)[0])
        assert not await sink.flush(0.001)
        store.gate.set()
        assert await sink.flush(LONG_S)


async def test_flush_waits_only_for_what_was_appended_before(store: ScriptedStore) -> None:
    first, second = some(2)
    store.gate.clear()
    async with writer(store) as sink:
        sink.append(first)
        flush = asyncio.create_task(sink.flush(LONG_S))
        await store.seen(batches=1)
        sink.append(second)
        store.gate.set()
        assert await flush
        assert sink.written == 1
    assert sink.written == 2


async def test_several_flushes_at_once(store: ScriptedStore) -> None:
    async with writer(store) as sink:
        for record in some(25):
            sink.append(record)
        assert await asyncio.gather(*(sink.flush(LONG_S) for _ in range(3))) == [True] * 3


async def test_cancelled_flush_leaves_the_writer_working(store: ScriptedStore) -> None:
    store.gate.clear()
    async with writer(store) as sink:
        sink.append(some(1)[0])
        flush = asyncio.create_task(sink.flush(LONG_S))
        await store.seen(batches=1)
        flush.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flush
        store.gate.set()
        assert await sink.flush(LONG_S)


# bounds


async def test_newest_records_are_dropped_when_the_buffer_is_full(store: ScriptedStore) -> None:
    records = some(8)
    store.gate.clear()
    async with writer(store, buffer_max=5, batch_max=2) as sink:
        for record in records[:2]:
            sink.append(record)
        await store.seen(batches=1)  # being written, so still in memory
        for record in records[2:]:
            sink.append(record)
        assert (sink.dropped, sink.buffered) == (3, 5)
        store.gate.set()
    assert [each for batch in store.batches for each in batch] == ids(records[:5])
    assert (sink.written, sink.dropped) == (5, 3)


async def test_buffer_is_bounded_by_text(store: ScriptedStore) -> None:
    line = LogLine(level=LogLevel.INFO, time_ms=1, text="x" * 40_000)
    big = [sample_record(lines=(line,)) for _ in range(3)]
    small = some(1)[0]
    store.gate.clear()
    async with writer(store, buffer_max_bytes=100_000) as sink:
        for record in [*big, small]:
            sink.append(record)
        assert sink.dropped == 1
        store.gate.set()
        assert await sink.flush(LONG_S)
        for record in big:
            sink.append(record)  # there is room again
        assert sink.dropped == 2
    assert sink.written == 5


async def test_drops_are_reported_once(store: ScriptedStore) -> None:
    with capture_logs() as logs:
        async with writer(store, buffer_max=1) as sink:
            for record in some(4):
                sink.append(record)
            assert await sink.flush(LONG_S)
            sink.append(some(1)[0])
    reports = [log for log in logs if log["event"] == "records_dropped"]
    assert [(report["records"], report["total"]) for report in reports] == [(3, 3)]


# a store that fails


async def test_batch_is_written_when_the_store_is_back(store: ScriptedStore) -> None:
    store.errors.extend([UnavailableError("away"), UnavailableError("away")])
    records = some(3)
    with capture_logs() as logs:
        async with writer(store) as sink:
            for record in records:
                sink.append(record)
            assert await sink.flush(LONG_S)
    assert (sink.written, sink.dropped, sink.failed_batches) == (3, 0, 2)
    assert store.batches == [ids(records)] * 3
    assert [log["event"] for log in logs] == ["record_store_away", "record_store_back"]


async def test_buffer_fills_while_the_store_is_away(store: ScriptedStore) -> None:
    store.errors.append(UnavailableError("away"))
    store.gate.clear()
    records = some(30)
    async with writer(store, buffer_max=20) as sink:
        for record in records:
            sink.append(record)
        store.gate.set()
    assert (sink.written, sink.dropped) == (20, 10)
    assert (await store.find(EVERYTHING, offset=0, limit=99))[0] == records[19::-1]


async def test_refused_batch_is_dropped_and_the_next_is_written(store: ScriptedStore) -> None:
    store.errors.append(OursError("InternalServerError", "too large"))
    records = some(4)
    async with writer(store, batch_max=2) as sink:
        for record in records:
            sink.append(record)
        assert await sink.flush(LONG_S)
    assert (sink.written, sink.dropped, sink.failed_batches) == (2, 2, 1)
    assert (await store.find(EVERYTHING, offset=0, limit=9))[0] == records[:1:-1]


async def test_unexpected_error_reaches_the_owner(store: ScriptedStore) -> None:
    store.errors.append(ZeroDivisionError("a bug"))
    with capture_logs() as logs:
        async with writer(store) as sink:
            sink.append(some(1)[0])
            assert not await sink.flush(LONG_S)
            with pytest.raises(ZeroDivisionError, match="a bug"):
                await sink.wait_failed()
            sink.append(some(1)[0])
            assert not await sink.flush(LONG_S)
    assert (sink.written, sink.dropped) == (0, 2)
    assert "record_writer_failed" in [log["event"] for log in logs]


# start and stop


async def test_records_before_the_start_are_written_after_it(store: ScriptedStore) -> None:
    sink = writer(store)
    sink.append(some(1)[0])
    assert not await sink.flush(LONG_S)
    with pytest.raises(RuntimeError, match="async with"):
        await sink.wait_failed()
    async with sink:
        assert await sink.flush(LONG_S)
    assert sink.written == 1


async def test_leaving_writes_what_is_buffered(store: ScriptedStore) -> None:
    async with writer(store) as sink:
        for record in some(3):
            sink.append(record)
    assert (sink.written, sink.dropped) == (3, 0)


async def test_leaving_does_not_wait_for_ever(store: ScriptedStore) -> None:
    store.gate.clear()
    async with writer(store, shutdown_flush_s=0.001) as sink:
        for record in some(12):
            sink.append(record)
    assert (sink.written, sink.dropped) == (0, 12)


async def test_cancelled_leaving_ends_the_tasks(store: ScriptedStore) -> None:
    store.gate.clear()
    sink = writer(store)
    await sink.__aenter__()
    sink.append(some(1)[0])
    leaving = asyncio.create_task(sink.__aexit__(None, None, None))
    await store.seen(batches=1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not [name for name in names if "invocation records" in name]


async def test_wait_failed_waits_while_all_is_well(store: ScriptedStore) -> None:
    async with writer(store) as sink:
        waiting = asyncio.create_task(sink.wait_failed())
        sink.append(some(1)[0])
        assert await sink.flush(LONG_S)
        assert not waiting.done()
    await asyncio.sleep(0)
    assert not waiting.done()  # closed in good order is no failure
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# prune


async def test_prune_at_the_start_and_then_regularly(store: ScriptedStore) -> None:
    clock = FakeClock(now_ms=100 * DAY_MS)
    async with writer(store, clock, keep_days=7.5, keep_per_space=12, prune_s=0.001):
        await store.seen(prunes=1)
        clock.advance(86_400)
        await store.seen(prunes=3)
    assert store.prunes[0] == (round(92.5 * DAY_MS), 12)
    assert store.prunes[2] == (round(93.5 * DAY_MS), 12)


async def test_prune_goes_on_after_errors_of_the_store(store: ScriptedStore) -> None:
    store.prune_errors.extend([UnavailableError("away"), OursError("X", "refused")])
    async with writer(store, prune_s=0.001) as sink:
        await store.seen(prunes=3)
        sink.append(some(1)[0])
    assert sink.written == 1


async def test_bug_in_prune_reaches_the_owner(store: ScriptedStore) -> None:
    store.prune_errors.append(ZeroDivisionError("a bug"))
    async with writer(store) as sink:
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await sink.wait_failed()


# function lines in the program log


async def test_function_lines_are_shipped_once(store: ScriptedStore) -> None:
    store.errors.append(UnavailableError("away"))
    lines = tuple(
        LogLine(level=level, time_ms=7 + i, text=f"text {i}") for i, level in enumerate(LogLevel)
    )
    record = sample_record(lines=lines)
    with capture_logs() as logs:
        async with writer(store, ship_lines=True) as sink:
            sink.append(record)
    shipped = [log for log in logs if log["event"] == "function_log"]
    assert shipped == [
        {
            "event": "function_log",
            "log_level": level,
            "space": record.space_id,
            "function": record.function,
            "deployment": record.deployment_id,
            "request_id": record.request_id,
            "time_ms": 7 + i,
            "text": f"text {i}",
        }
        for i, level in enumerate(["debug", "info", "warning", "error"])
    ]


async def test_function_lines_are_not_shipped_when_switched_off(store: ScriptedStore) -> None:
    with capture_logs() as logs:
        async with writer(store, ship_lines=False) as sink:
            sink.append(some(1)[0])
    assert logs == []


async def test_shipping_many_lines_lets_others_run(store: ScriptedStore) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    line = LogLine(level=LogLevel.INFO, time_ms=1, text="x")
    with capture_logs() as logs:
        async with writer(store, ship_lines=True) as sink:
            running = asyncio.create_task(other())
            sink.append(sample_record(lines=(line,) * 1000))
            await store.seen(batches=0, prunes=1)
            before = turns
            assert await sink.flush(LONG_S)
            running.cancel()
    assert len(logs) == 1000
    assert turns - before >= 1000 // 50
