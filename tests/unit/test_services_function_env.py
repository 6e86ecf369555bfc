"""Use cases of environment variables over the control plane in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from runtime.errors import InvalidParameterError, NotFoundError, OursError
from runtime.messages import Function
from runtime.services.function_env import EnvChange
from runtime.services.function_env_rules import check_env_name
from runtime.services.functions import FunctionChange, with_function
from runtime.settings import Settings
from tests.unit.management_support import SPACE_ID, Bench

SECRET = "hush-hush-hush"


@pytest.fixture
async def bench() -> Bench:
    bench = Bench(settings=Settings(function_env_max=3, function_env_max_bytes=64))
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    return bench


async def stored(bench: Bench, name: str = "demo") -> Function:
    return await bench.functions.get(SPACE_ID, name)


async def test_set_unset_and_clear_add_up(bench: Bench) -> None:
    update = bench.function_env.update
    assert await update(SPACE_ID, "demo", EnvChange(set={"B": "2", "A": "1"})) == {
        "A": "1",
        "B": "2",
    }
    changed = await update(SPACE_ID, "demo", EnvChange(unset=frozenset({"A", "X"}), set={"C": ""}))
    assert changed == {"B": "2", "C": ""} == await bench.function_env.get(SPACE_ID, "demo")
    assert await update(SPACE_ID, "demo", EnvChange(clear=True, set={"D": "4"})) == {"D": "4"}
    assert await update(SPACE_ID, "demo", EnvChange(clear=True)) == {}
    assert (await stored(bench)).env_sealed == b""


async def test_the_same_again_changes_nothing(bench: Bench) -> None:
    """A new seal would retire warm sandboxes for nothing."""
    await bench.function_env.update(SPACE_ID, "demo", EnvChange(set={"A": "1"}))
    before, invalidated = await stored(bench), len(bench.cache.invalidated)
    bench.clock.advance(5)
    for change in (EnvChange(set={"A": "1"}), EnvChange(unset=frozenset("X")), EnvChange()):
        await bench.function_env.update(SPACE_ID, "demo", change)
    await bench.function_env.update(SPACE_ID, "demo", EnvChange(clear=True, set={"A": "1"}))
    assert await stored(bench) == before
    assert len(bench.cache.invalidated) == invalidated
    await bench.function_env.update(SPACE_ID, "demo", EnvChange(set={"A": "2"}))
    after = await stored(bench)
    assert after.env_sealed != before.env_sealed
    assert after.modified_ms == before.modified_ms + 5000
    assert len(bench.cache.invalidated) == invalidated + 1


async def test_other_settings_keep_it(bench: Bench) -> None:
    await bench.function_env.update(SPACE_ID, "demo", EnvChange(set={"A": "1"}))
    await bench.functions.update(SPACE_ID, "demo", FunctionChange(memory_mb=512))
    assert await bench.function_env.get(SPACE_ID, "demo") == {"A": "1"}


async def test_a_function_made_again_has_none(bench: Bench) -> None:
    await bench.function_env.update(SPACE_ID, "demo", EnvChange(set={"A": "1"}))
    await bench.functions.delete(SPACE_ID, "demo")
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    assert await bench.function_env.get(SPACE_ID, "demo") == {}


async def test_bounds_hold_for_all_together_and_never_keep_from_removing(bench: Bench) -> None:
    update = bench.function_env.update
    await update(SPACE_ID, "demo", EnvChange(set={"A": "1", "B": "2", "C": "3"}))
    with pytest.raises(InvalidParameterError, match="YUNHAN_FUNCTION_ENV_MAX"):
        await update(SPACE_ID, "demo", EnvChange(set={"D": "4"}))
    await update(SPACE_ID, "demo", EnvChange(unset=frozenset("A"), set={"D": "4"}))
    with pytest.raises(InvalidParameterError, match="YUNHAN_FUNCTION_ENV_MAX_BYTES"):
        await update(SPACE_ID, "demo", EnvChange(set={"D": "x" * 60}))
    bench.function_env.limits = replace(bench.function_env.limits, variables_max=1)
    assert await update(SPACE_ID, "demo", EnvChange(unset=frozenset("D"))) == {"B": "2", "C": "3"}


async def test_a_name_that_is_set_and_unset_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidParameterError, match="A is in Set and in Unset"):
        await bench.function_env.update(
            SPACE_ID, "demo", EnvChange(set={"A": SECRET}, unset=frozenset("A"))
        )


async def test_unknown_functions_and_spaces(bench: Bench) -> None:
    for space_id, name in ((SPACE_ID, "nobody"), ("mp-none", "demo")):
        with pytest.raises(NotFoundError):
            await bench.function_env.get(space_id, name)
        with pytest.raises(NotFoundError):
            await bench.function_env.update(space_id, name, EnvChange(set={"A": "1"}))


async def test_what_does_not_open_can_be_cleared_but_not_read_or_added_to(bench: Bench) -> None:
    """Moved from another function, as after a lost master key."""
    await bench.function_env.update(SPACE_ID, "demo", EnvChange(set={"A": SECRET}))
    moved = replace((await stored(bench)), name="thief")
    await bench.editor.change(SPACE_ID, lambda space: with_function(space, moved))
    with pytest.raises(OursError):
        await bench.function_env.get(SPACE_ID, "thief")
    with pytest.raises(OursError):
        await bench.function_env.update(SPACE_ID, "thief", EnvChange(set={"B": "1"}))
    changed = await bench.function_env.update(
        SPACE_ID, "thief", EnvChange(clear=True, set={"B": "1"})
    )
    assert changed == {"B": "1"}


async def test_changes_at_the_same_time_all_count(bench: Bench) -> None:
    await asyncio.gather(
        *(
            bench.function_env.update(SPACE_ID, "demo", EnvChange(set={name: name}))
            for name in "ABC"
        )
    )
    assert await bench.function_env.get(SPACE_ID, "demo") == {"A": "A", "B": "B", "C": "C"}


async def test_values_are_in_no_log_and_no_repr(bench: Bench) -> None:
    change = EnvChange(set={"A": SECRET})
    with capture_logs() as logs:
        await bench.function_env.update(SPACE_ID, "demo", change)
    assert [entry["event"] for entry in logs] == ["function_env_changed"]
    assert SECRET not in f"{logs}{change!r}{await stored(bench)!r}"


names = st.from_regex(r"[a-z_][A-Za-z0-9_]{0,127}", fullmatch=True).filter(
    lambda name: name != "__proto__"
)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.dictionaries(names, values, max_size=6))
@settings(max_examples=50, deadline=None)
def test_names_and_values_come_back_as_they_were(env: dict[str, str]) -> None:
    async def round_trip() -> None:
        bench = Bench(settings=Settings(function_env_max_bytes=32 * 1024))
        await bench.add_space()
        await bench.functions.create(SPACE_ID, "demo", FunctionChange())
        await bench.function_env.update(SPACE_ID, "demo", EnvChange(set=env))
        assert await bench.function_env.get(SPACE_ID, "demo") == env

    for name in env:
        check_env_name(name)
    asyncio.run(round_trip())
