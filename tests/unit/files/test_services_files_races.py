"""Uploads, reports, deletions and sweeps at once, in random order of their single steps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest

from runtime.errors import YunhanError
from runtime.files.paths import file_id_of
from runtime.messages import UploadState
from tests.harness.file_faults import KilledError, Scheduler
from tests.harness.file_stage import GRACE_S, SPACE_ID, TTL_S, FileStage

PATHS = ("a.png", "b.png")
IDS = tuple(file_id_of(SPACE_ID, path) for path in PATHS)
RULES = '{"file": {"*": {".write": true}}}'
"""Anybody may write anything: the most that can meet."""


class Race:
    """Actors over one stage whose steps wait for their turn."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.scheduler = Scheduler(self.rng)
        self.stage = FileStage(
            rules=RULES, records=self.scheduler.wrap, files=self.scheduler.wrap, batch_max=3
        )
        self.tasks: list[asyncio.Task[None]] = []
        self.step = 0
        self.begun: dict[str, int] = {}
        self.stored: dict[str, int] = {}
        """When each upload began and was stored, by the key of its bytes, in steps of the race."""
        self.present: dict[str, str] = {}
        """The bytes that each file had last."""

    async def uploader(self) -> None:
        name = self.rng.choice(("ann", "bob"))
        user = self.rng.choice((self.stage.user(name), self.stage.backend(name)))
        path = self.rng.choice(PATHS)
        fields = await self.stage.form(user, path)
        for _ in range(self.rng.randint(1, 2)):  # the same form twice, at times
            with suppress(YunhanError):
                await self.stage.post(fields, self.rng.randbytes(4))
        for _ in range(self.rng.randint(0, 2)):
            await self.stage.service.report(user, {"id": fields["id"]})

    async def reporter(self) -> None:
        callers = (self.stage.backend(), self.stage.user("ann"), self.stage.user("bob"))
        caller = self.rng.choice(callers)
        await self.stage.service.report(caller, {"id": self.rng.choice(IDS)})

    async def deleter(self) -> None:
        await self.stage.service.delete(self.stage.user(), {"id": self.rng.choice(IDS)})

    async def sweeper(self) -> None:
        for _ in range(2):
            await self.stage.sweeper.sweep()

    def start(self, actor: Callable[[], Awaitable[None]]) -> None:
        async def act() -> None:
            with suppress(YunhanError, KilledError):
                await actor()

        self.tasks.append(asyncio.ensure_future(act()))

    def start_some(self, count: int) -> None:
        actors = (self.uploader, self.uploader, self.reporter, self.deleter, self.sweeper)
        for _ in range(count):
            self.start(self.rng.choice(actors))

    async def run(self, *, steps: int = 10_000, checked: bool = True) -> bool:
        check = self.check if checked else lambda: None
        ended = await self.scheduler.run(self.tasks, check, steps=steps)
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.result()  # nothing but YunhanError comes out
        return ended

    def check(self) -> None:
        """No file lacks bytes, and none goes back to what was stored before its present bytes came."""
        self.stage.check_no_file_lacks_bytes()
        self.step += 1
        for upload in self.stage.records._uploads.values():
            self.begun.setdefault(upload.blob_key, self.step)
            if upload.state is UploadState.STORED:
                self.stored.setdefault(upload.blob_key, self.step)
        for record in self.stage.file_records:
            if record.blob is None or record.blob.key == self.present.get(record.file_id):
                continue
            before = self.present.get(record.file_id)
            assert before is None or self.stored[record.blob.key] > self.begun[before]
            self.present[record.file_id] = record.blob.key

    async def settle(self) -> None:
        self.scheduler.free = True
        seen = [await self.stage.content(each) for each in IDS]
        await self.stage.sweep_all()
        self.stage.check_agreement()
        assert [await self.stage.content(each) for each in IDS] == seen


@pytest.mark.parametrize("block", range(10))
async def test_in_any_order_no_file_lacks_bytes_and_no_bytes_are_left(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        race = Race(seed)
        race.start_some(6)
        assert await race.run()
        await race.settle()


@pytest.mark.parametrize("block", range(5))
async def test_actors_that_are_cancelled_in_any_order(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        race = Race(seed)
        race.start_some(6)
        await race.run(steps=race.rng.randint(1, 40))
        for task in race.tasks:
            if race.rng.random() < 0.5:
                task.cancel()
        assert await race.run()
        await race.settle()


@pytest.mark.parametrize("block", range(10))
async def test_everything_is_killed_at_any_moment(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        race = Race(seed)
        race.start_some(6)
        await race.run(steps=race.rng.randint(1, 60))
        await race.scheduler.kill(race.tasks)
        race.stage.check_no_file_lacks_bytes()
        await race.settle()


@pytest.mark.parametrize("block", range(5))
async def test_the_clock_jumps_while_uploads_are_under_way(block: int) -> None:
    """Uploads and sweeps meet a clock that is beyond every time and grace at once."""
    for seed in range(block * 30, block * 30 + 30):
        race = Race(seed)
        for _ in range(3):
            race.start(race.uploader)
        await race.run(steps=race.rng.randint(3, 25))
        race.stage.clock.advance(2 * TTL_S + GRACE_S + 1)
        race.start(race.sweeper)
        race.start(race.sweeper)
        race.start(race.uploader)
        assert await race.run()
        await race.settle()


@pytest.mark.parametrize("block", range(3))
async def test_a_space_is_deleted_while_everything_goes_on(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        race = Race(seed)
        race.start_some(5)
        await race.run(steps=race.rng.randint(1, 40))
        race.stage.spaces.clear()
        race.start(partial(race.stage.remains.remove_space, SPACE_ID))
        assert await race.run(checked=False)  # nobody can read a space that is gone
        race.scheduler.free = True
        await race.stage.remains.remove_space(SPACE_ID)
        await race.stage.sweep_all()
        assert not race.stage.bytes.blobs
        assert not race.stage.file_records
        assert not race.stage.records._uploads
