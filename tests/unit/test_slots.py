"""Slots, and lending them to children."""

import asyncio

import pytest

from runtime.slots import Slots


async def test_slots_are_bounded_and_waiters_are_served_in_order() -> None:
    slots = Slots(1)
    first = await slots.take()
    order: list[str] = []

    async def wait(name: str) -> None:
        slot = await slots.take()
        order.append(name)
        slot.release()

    waiters = [asyncio.create_task(wait(name)) for name in "ab"]
    await asyncio.sleep(0)
    assert order == []
    first.release()
    await asyncio.gather(*waiters)
    assert order == ["a", "b"]
    assert slots.free == 1


async def test_cancelling_a_waiter_loses_no_slot() -> None:
    slots = Slots(1)
    held = await slots.take()
    waiter = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    held.release()  # the slot is the waiter's now, but it has not run yet
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert slots.free == 1


async def test_child_prefers_a_free_slot() -> None:
    slots = Slots(2)
    parent = await slots.take()
    child = await parent.for_child()
    assert slots.free == 0
    child.release()
    assert slots.free == 1
    parent.release()
    assert slots.free == 2


async def test_children_share_the_lent_slot_one_at_a_time() -> None:
    slots = Slots(1)
    parent = await slots.take()
    first = await parent.for_child()
    second = asyncio.create_task(parent.for_child())
    await asyncio.sleep(0)
    assert not second.done()
    first.release()
    (await second).release()
    assert slots.free == 0
    parent.release()
    assert slots.free == 1


async def test_every_level_can_call_the_next_with_one_slot() -> None:
    slots = Slots(1)
    chain = [await slots.take()]
    for _ in range(5):
        chain.append(await chain[-1].for_child())
    for slot in reversed(chain):
        slot.release()
    assert slots.free == 1


async def test_a_child_that_outlives_its_parent_keeps_the_slot() -> None:
    slots = Slots(1)
    parent = await slots.take()
    child = await parent.for_child()
    parent.release()
    assert slots.free == 0
    child.release()
    assert slots.free == 1


async def test_cancelling_a_waiting_child_frees_its_claim() -> None:
    slots = Slots(1)
    parent = await slots.take()
    first = await parent.for_child()
    waiting = asyncio.create_task(parent.for_child())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    first.release()
    parent.release()
    assert slots.free == 1
