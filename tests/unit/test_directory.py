"""The cached view of spaces: fresh enough, never stale after our own change, honest when the store fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from runtime.backends.control_memory import ControlMemory
from runtime.errors import NotFoundError, UnavailableError
from runtime.messages import Function, Space
from runtime.sealing import SecretBox
from runtime.services.directory import SpaceDirectory
from runtime.services.space_keys import client_secret_context
from tests.harness.clock import FakeClock

BOX = SecretBox(b"k" * 32)


class WatchedStore(ControlMemory):
    """Counts reads, and can be down or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.down = False
        self.gate: asyncio.Event | None = None

    async def read_space(self, space_id: str) -> Space | None:
        self.reads += 1
        if self.down:
            raise UnavailableError("down")
        space = await super().read_space(space_id)
        if self.gate is not None:
            await self.gate.wait()
        return space

    async def revisions(self, space_ids: Sequence[str]) -> Mapping[str, int]:
        if self.down:
            raise UnavailableError("down")
        return await super().revisions(space_ids)


def a_space(space_id: str = "mp-1") -> Space:
    return Space(
        space_id=space_id,
        name="one",
        client_secret_sealed=BOX.seal(b"secret", context=client_secret_context(space_id)),
        private_key_sealed=b"",
        public_key_pem="",
        created_ms=1,
        modified_ms=1,
    )


@pytest.fixture
async def store() -> WatchedStore:
    store = WatchedStore()
    await store.create_space(a_space())
    return store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def directory(store: ControlMemory, clock: FakeClock, max_spaces: int = 10) -> SpaceDirectory:
    return SpaceDirectory(
        store=store, box=BOX, clock=clock, max_age_s=5, poll_s=2, max_spaces=max_spaces
    )


async def test_a_second_look_reads_nothing(store: WatchedStore, clock: FakeClock) -> None:
    spaces = directory(store, clock)
    view = await spaces.get("mp-1")
    assert view.client_secret == b"secret"
    assert "secret" not in repr(view)
    assert await spaces.get("mp-1") is view
    assert store.reads == 1


async def test_polls_keep_an_unchanged_view_fresh(store: WatchedStore, clock: FakeClock) -> None:
    spaces = directory(store, clock)
    await spaces.get("mp-1")
    for _ in range(10):
        clock.advance(2)
        await spaces.poll()
    await spaces.get("mp-1")
    assert store.reads == 1


async def test_a_change_by_another_gateway_is_seen_after_a_poll(
    store: WatchedStore, clock: FakeClock
) -> None:
    spaces = directory(store, clock)
    await spaces.get("mp-1")
    changed = replace(a_space(), revision=2, functions={"f": Function(name="f")})
    await store.replace_space(changed)
    await spaces.poll()
    assert "f" in (await spaces.get("mp-1")).functions


async def test_a_deleted_space_is_gone_after_a_poll(store: WatchedStore, clock: FakeClock) -> None:
    spaces = directory(store, clock)
    await spaces.get("mp-1")
    await store.delete_space("mp-1")
    await spaces.poll()
    with pytest.raises(NotFoundError):
        await spaces.get("mp-1")


async def test_a_view_too_old_is_not_used_when_the_store_is_down(
    store: WatchedStore, clock: FakeClock
) -> None:
    spaces = directory(store, clock)
    await spaces.get("mp-1")
    store.down = True
    clock.advance(4)
    await spaces.get("mp-1")
    clock.advance(2)
    with pytest.raises(UnavailableError):
        await spaces.get("mp-1")
    store.down = False
    await spaces.get("mp-1")


async def test_our_own_change_is_seen_at_once(store: WatchedStore, clock: FakeClock) -> None:
    spaces = directory(store, clock)
    told: list[int | None] = []
    spaces.on_read = lambda _id, view: told.append(view.revision if view else None)
    await spaces.get("mp-1")
    await store.replace_space(replace(a_space(), revision=2, desc="new"))
    spaces.invalidate("mp-1")
    assert (await spaces.get("mp-1")).revision == 2
    assert told == [1, 2]


async def test_a_read_that_a_change_overtook_is_not_kept(
    store: WatchedStore, clock: FakeClock
) -> None:
    spaces = directory(store, clock)
    store.gate = asyncio.Event()
    slow = asyncio.create_task(spaces.get("mp-1"))
    await asyncio.sleep(0)
    await store.replace_space(replace(a_space(), revision=2))
    spaces.invalidate("mp-1")
    store.gate.set()
    await slow
    assert (await spaces.get("mp-1")).revision == 2


async def test_many_first_looks_read_once(store: WatchedStore, clock: FakeClock) -> None:
    spaces = directory(store, clock)
    await asyncio.gather(*(spaces.get("mp-1") for _ in range(20)))
    assert store.reads == 1


async def test_unknown_spaces_are_remembered_too(store: WatchedStore, clock: FakeClock) -> None:
    spaces = directory(store, clock)
    for _ in range(3):
        with pytest.raises(NotFoundError):
            await spaces.get("mp-nobody")
    assert store.reads == 1
    await store.create_space(a_space("mp-nobody"))
    clock.advance(5.1)
    assert (await spaces.get("mp-nobody")).space_id == "mp-nobody"


async def test_an_absurd_id_is_neither_kept_nor_asked_for(
    store: WatchedStore, clock: FakeClock
) -> None:
    spaces = directory(store, clock)
    with pytest.raises(NotFoundError) as refused:
        await spaces.get("x" * 3_000_000)
    assert len(refused.value.message) < 200
    assert (len(spaces), store.reads) == (0, 0)


async def test_an_invalidated_space_is_read_again_by_the_next_poll(
    store: WatchedStore, clock: FakeClock
) -> None:
    spaces = directory(store, clock)
    seen: list[bool] = []
    await spaces.get("mp-1")
    spaces.on_read = lambda _id, view: seen.append(view is not None)
    await store.delete_space("mp-1")
    spaces.invalidate("mp-1")
    await spaces.poll()
    assert seen == [False], (
        "whoever keeps its sandboxes learns that it is gone, though nobody calls"
    )


async def test_memory_is_bounded(store: WatchedStore, clock: FakeClock) -> None:
    spaces = directory(store, clock, max_spaces=3)
    for number in range(10):
        with pytest.raises(NotFoundError):
            await spaces.get(f"mp-{number}x")
    assert len(spaces) <= 3


async def test_a_newer_revision_is_read_at_once_and_a_known_one_is_not(
    store: WatchedStore, clock: FakeClock
) -> None:
    spaces = directory(store, clock)
    seen: list[int | None] = []
    spaces.on_read = lambda _id, view: seen.append(view.revision if view else None)
    await asyncio.gather(*(spaces.catch_up("mp-1", 1) for _ in range(5)))
    assert (store.reads, seen) == (1, [1])
    await store.replace_space(replace(a_space(), revision=2))
    await spaces.catch_up("mp-1", 1)
    assert store.reads == 1
    await asyncio.gather(*(spaces.catch_up("mp-1", 2) for _ in range(5)))
    assert (store.reads, seen) == (2, [1, 2])
    assert (await spaces.get("mp-1")).revision == 2


async def test_catching_up_does_without_a_store_that_is_down(
    store: WatchedStore, clock: FakeClock
) -> None:
    spaces = directory(store, clock)
    await spaces.get("mp-1")
    store.down = True
    await spaces.catch_up("mp-1", 2)
    assert (await spaces.get("mp-1")).revision == 1


async def test_spaces_in_use_are_followed_though_nobody_asks(
    store: WatchedStore, clock: FakeClock
) -> None:
    spaces = directory(store, clock)
    seen: list[str] = []
    spaces.on_read = lambda space_id, _view: seen.append(space_id)
    spaces.used = lambda: ["mp-1"]
    await spaces.poll()
    await spaces.poll()
    assert seen == ["mp-1"]
    await store.replace_space(replace(a_space(), revision=2))
    await spaces.poll()
    assert seen == ["mp-1", "mp-1"]
