"""Compare-and-set on a space: retries, refusals, caches."""

from dataclasses import replace

import pytest

from runtime.errors import ConflictError, NotFoundError, OverloadedError
from runtime.messages import Space
from runtime.services import space_editor
from tests.unit.interruptions import once_before
from tests.unit.management_support import SPACE_ID, Bench


def renamed(name: str) -> "Rename":
    return Rename(name)


class Rename:
    """A change that counts how often it was made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0

    def __call__(self, space: Space) -> Space:
        self.calls += 1
        return replace(space, name=self.name)


async def test_a_change_is_stored_under_the_next_revision_and_caches_are_told() -> None:
    bench = Bench()
    await bench.add_space()
    changed = await bench.editor.change(SPACE_ID, renamed("new"))
    assert (changed.name, changed.revision) == ("new", 2)
    assert await bench.editor.read(SPACE_ID) == changed
    assert bench.cache.invalidated == [SPACE_ID]


async def test_an_equal_space_is_not_written() -> None:
    bench = Bench()
    space = await bench.add_space()
    assert await bench.editor.change(SPACE_ID, replace) == space
    assert bench.cache.invalidated == []


async def test_a_lost_race_starts_again_from_the_winner() -> None:
    bench = Bench()
    await bench.add_space()
    once_before(
        bench.control,
        "replace_space",
        lambda: bench.editor.change(SPACE_ID, lambda space: replace(space, desc="winner")),
    )
    change = renamed("new")
    space = await bench.editor.change(SPACE_ID, change)
    assert (space.name, space.desc, space.revision) == ("new", "winner", 3)
    assert change.calls == 2


async def test_endless_races_are_given_up_as_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.add_space()

    async def lose(_space: Space) -> None:
        raise ConflictError("Conflict", "lost")

    monkeypatch.setattr(bench.control, "replace_space", lose)
    monkeypatch.setattr(space_editor, "_FIRST_PAUSE_S", 0)
    change = renamed("new")
    with pytest.raises(OverloadedError):
        await bench.editor.change(SPACE_ID, change)
    assert change.calls == space_editor._ATTEMPTS


async def test_a_space_deleted_meanwhile_stays_deleted() -> None:
    bench = Bench()
    await bench.add_space()
    once_before(bench.control, "replace_space", lambda: bench.control.delete_space(SPACE_ID))
    with pytest.raises(NotFoundError) as caught:
        await bench.editor.change(SPACE_ID, renamed("new"))
    assert caught.value.code == "InvalidSpaceId.NotFound"
    assert await bench.control.read_space(SPACE_ID) is None


async def test_an_unknown_space() -> None:
    with pytest.raises(NotFoundError) as caught:
        await Bench().editor.read("mp-none")
    assert caught.value.code == "InvalidSpaceId.NotFound"
