"""What every `ControlStore` adapter must tell of timers; part of its contract suite."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.messages import Function, SpaceStatus
from runtime.ports import ControlStore, Timer
from runtime.testing.control_samples import NOW_MS, sample_space

_CRON = "0 0 8 * * *"


def _functions(**crons: str) -> dict[str, Function]:
    return {
        name: Function(name=name, timer_cron=cron, timer_set_ms=NOW_MS if cron else 0)
        for name, cron in crons.items()
    }


class TimerContract:
    """Timers are those of the functions as they are stored now."""

    @pytest.fixture
    def store(self) -> ControlStore:
        raise NotImplementedError

    async def test_timers_are_those_stored_now(self, store: ControlStore) -> None:
        assert list(await store.timers()) == []
        first = sample_space(functions=_functions(a=_CRON, b="", c="cron:5 * * * * * *"))
        others = [
            sample_space(functions=_functions(a="", b="")),
            sample_space(),
            sample_space(functions=_functions(a=_CRON), status=SpaceStatus.PAUSED),
            sample_space(functions=_functions(a=_CRON)),
        ]
        for space in (first, *others):
            await store.create_space(space)
        await store.delete_space(others[3].space_id)
        await store.replace_space(
            replace(others[1], revision=2, functions=_functions(late="0 0 0 29 2 ?"))
        )
        assert await _timers(store) == {
            (first.space_id, "a", _CRON, NOW_MS),
            (first.space_id, "c", "cron:5 * * * * * *", NOW_MS),
            (others[1].space_id, "late", "0 0 0 29 2 ?", NOW_MS),
            (others[2].space_id, "a", _CRON, NOW_MS),
        }
        await store.replace_space(replace(first, revision=2, functions=_functions(a="", c=_CRON)))
        await store.replace_space(replace(others[1], revision=3, functions=_functions(late="")))
        await store.replace_space(replace(others[2], revision=2, functions={}))
        assert await _timers(store) == {(first.space_id, "c", _CRON, NOW_MS)}

    async def test_space_with_timers_comes_back_equal(self, store: ControlStore) -> None:
        space = sample_space(functions=_functions(a=_CRON, b=""))
        await store.create_space(space)
        assert await store.read_space(space.space_id) == space


async def _timers(store: ControlStore) -> set[tuple[str, str, str, int]]:
    found: list[Timer] = list(await store.timers())
    told = {(each.space_id, each.function, each.cron, each.set_ms) for each in found}
    assert len(told) == len(found)
    return told
