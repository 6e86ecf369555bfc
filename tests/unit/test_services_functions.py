"""Functions: create, change, list, and deletion that survives crashes."""

from pathlib import Path

import pytest

from runtime.errors import CallerError, ConflictError, InvalidParameterError, NotFoundError
from runtime.services.functions import FunctionChange
from runtime.settings import Settings
from tests.unit.interruptions import WRITES, Killer, StoppedError, once_before
from tests.unit.management_support import SPACE_ID, Bench, as_upload, make_zip
from tests.unit.signed_requests import NOW_MS


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.add_space()
    return made


async def test_a_new_function_has_the_defaults(bench: Bench) -> None:
    function = await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    assert (function.runtime, function.timeout_s, function.memory_mb) == ("nodejs14", 5, 256)
    assert (function.concurrency, function.desc) == (1, "")
    assert (function.created_ms, function.modified_ms) == (NOW_MS, NOW_MS)
    assert function.live_deployment_id is None
    assert await bench.functions.get(SPACE_ID, "demo") == function
    assert bench.cache.invalidated == [SPACE_ID]


async def test_a_name_is_taken_once(bench: Bench) -> None:
    first = await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    with pytest.raises(ConflictError) as caught:
        await bench.functions.create(SPACE_ID, "demo", FunctionChange(memory_mb=512))
    assert caught.value.code == "FunctionAlreadyExists"
    assert await bench.functions.get(SPACE_ID, "demo") == first
    await bench.functions.create(SPACE_ID, "Demo", FunctionChange())


async def test_two_creations_at_once_make_one_function(bench: Bench) -> None:
    once_before(
        bench.control,
        "replace_space",
        lambda: bench.functions.create(SPACE_ID, "demo", FunctionChange(desc="winner")),
    )
    with pytest.raises(ConflictError):
        await bench.functions.create(SPACE_ID, "demo", FunctionChange(desc="loser"))
    assert (await bench.functions.get(SPACE_ID, "demo")).desc == "winner"


async def test_two_changes_of_different_functions_at_once_both_hold(bench: Bench) -> None:
    await bench.functions.create(SPACE_ID, "a", FunctionChange())
    await bench.functions.create(SPACE_ID, "b", FunctionChange())
    once_before(
        bench.control,
        "replace_space",
        lambda: bench.functions.update(SPACE_ID, "a", FunctionChange(timeout_s=7)),
    )
    await bench.functions.update(SPACE_ID, "b", FunctionChange(timeout_s=8))
    space = await bench.spaces.get(SPACE_ID)
    assert [space.functions[name].timeout_s for name in ("a", "b")] == [7, 8]


async def test_the_number_of_functions_is_bounded() -> None:
    bench = Bench(settings=Settings(functions_per_space_max=1))
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "a", FunctionChange())
    with pytest.raises(CallerError) as caught:
        await bench.functions.create(SPACE_ID, "b", FunctionChange())
    assert caught.value.code == "FunctionLimitExceeded"


async def test_an_update_changes_what_is_given_and_nothing_else(bench: Bench) -> None:
    await bench.functions.create(SPACE_ID, "demo", FunctionChange(desc="one", memory_mb=512))
    bench.clock.advance(3)
    changed = await bench.functions.update(SPACE_ID, "demo", FunctionChange(timeout_s=10))
    assert (changed.desc, changed.memory_mb, changed.timeout_s) == ("one", 512, 10)
    assert (changed.created_ms, changed.modified_ms) == (NOW_MS, NOW_MS + 3000)
    bench.clock.advance(3)
    assert await bench.functions.update(SPACE_ID, "demo", FunctionChange(timeout_s=10)) == changed
    emptied = await bench.functions.update(SPACE_ID, "demo", FunctionChange(desc=""))
    assert emptied.desc == ""


async def test_an_update_is_checked_together_with_what_stays(bench: Bench) -> None:
    await bench.functions.create(SPACE_ID, "demo", FunctionChange(memory_mb=512, concurrency=5))
    with pytest.raises(InvalidParameterError) as caught:
        await bench.functions.update(SPACE_ID, "demo", FunctionChange(memory_mb=256))
    assert caught.value.code == "InvalidParameter.InstanceConcurrency"
    both = FunctionChange(memory_mb=256, concurrency=1)
    assert (await bench.functions.update(SPACE_ID, "demo", both)).memory_mb == 256


async def test_unknown_spaces_and_functions(bench: Bench) -> None:
    for space_id, code in ((SPACE_ID, "FunctionNotFound"), ("mp-none", "InvalidSpaceId.NotFound")):
        for call in (
            bench.functions.get(space_id, "nope"),
            bench.functions.update(space_id, "nope", FunctionChange(timeout_s=1)),
            bench.functions.delete(space_id, "nope"),
        ):
            with pytest.raises(NotFoundError) as caught:
                await call
            assert caught.value.code == code
    with pytest.raises(NotFoundError):
        await bench.functions.create("mp-none", "demo", FunctionChange())


async def test_pages_are_by_name_and_filtered_by_a_part_of_it(bench: Bench) -> None:
    for name in ("beta", "alpha", "Gamma", "alphabet"):
        await bench.functions.create(SPACE_ID, name, FunctionChange())
    found, total = await bench.functions.page(SPACE_ID, name_part="ALPHA", offset=0, limit=10)
    assert ([each.name for each in found], total) == (["alpha", "alphabet"], 2)
    found, total = await bench.functions.page(SPACE_ID, offset=2, limit=1)
    assert ([each.name for each in found], total) == (["alphabet"], 4)
    assert await bench.functions.page(SPACE_ID, name_part="x", offset=0, limit=10) == ([], 0)


async def deploy(bench: Bench, tmp_path: Path, function: str, code: bytes) -> str:
    deployment = await bench.deployments.create(SPACE_ID, function)
    await bench.packages.accept(SPACE_ID, deployment.deployment_id, as_upload(tmp_path, code))
    await bench.deployments.deploy(SPACE_ID, deployment.deployment_id)
    return deployment.deployment_id


async def test_deleting_a_function_leaves_the_others_and_shared_code(
    bench: Bench, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        await bench.functions.create(SPACE_ID, name, FunctionChange())
        await deploy(bench, tmp_path, name, make_zip())
    await deploy(bench, tmp_path, "a", make_zip({"index.js": "// only a"}))
    assert len(await bench.files.list_keys("code")) == 2
    await bench.functions.delete(SPACE_ID, "a")
    space = await bench.spaces.get(SPACE_ID)
    assert list(space.functions) == ["b"]
    left, _ = await bench.control.list_deployments(SPACE_ID, offset=0, limit=10)
    assert [each.function for each in left] == ["b"]
    live = space.functions["b"].live_digest
    assert live is not None
    assert await bench.blobs.exists(live)
    assert len(await bench.files.list_keys("code")) == 1


async def test_a_deletion_killed_at_any_step_can_be_repeated(tmp_path: Path) -> None:
    finished = 0
    for step in range(1, 50):
        bench = Bench()
        await bench.add_space()
        await bench.functions.create(SPACE_ID, "f", FunctionChange())
        await deploy(bench, tmp_path, "f", make_zip())
        await deploy(bench, tmp_path, "f", make_zip({"index.js": "// two"}))
        killer = Killer(step)
        killer.watch(bench.control, *WRITES, "digest_in_use")
        killer.watch(bench.files, "delete")
        try:
            await bench.functions.delete(SPACE_ID, "f")
        except StoppedError:
            pass
        else:
            finished = step
        killer.restart()
        left = (await bench.spaces.get(SPACE_ID)).functions.get("f")
        if left is not None:
            live = left.live_digest
            assert live is None or await bench.blobs.exists(live), "live code without a blob"
            await bench.functions.delete(SPACE_ID, "f")
        await bench.blobs.sweep()
        rest, _ = await bench.control.list_deployments(SPACE_ID, offset=0, limit=10)
        assert rest == []
        assert await bench.files.list_keys("code") == []
        if finished:
            break
    assert finished > 4


async def test_a_deployment_made_during_the_deletion_goes_too(bench: Bench) -> None:
    await bench.functions.create(SPACE_ID, "f", FunctionChange())
    once_before(
        bench.control,
        "replace_space",  # the function's removal, after its deployments were deleted
        lambda: bench.deployments.create(SPACE_ID, "f"),
    )
    await bench.functions.delete(SPACE_ID, "f")
    assert await bench.control.list_deployments(SPACE_ID, offset=0, limit=10) == ([], 0)
