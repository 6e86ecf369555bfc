"""Deployments: upload once, go live, roll back; races with deletion leave nothing behind."""

import asyncio
from pathlib import Path

import pytest

from runtime.errors import CallerError, ConflictError, NotFoundError
from runtime.messages import Deployment, DeploymentStatus, Function
from runtime.package.check import PackageError
from runtime.services.code_blobs import code_key
from runtime.services.functions import FunctionChange
from tests.unit.interruptions import once_before
from tests.unit.management_support import SPACE_ID, Bench, as_upload, make_zip
from tests.unit.signed_requests import NOW_MS

ONE = make_zip({"index.js": "// one"})
TWO = make_zip({"index.js": "// two"})
BAD = b"this is no zip"


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.add_space()
    await made.functions.create(SPACE_ID, "demo", FunctionChange())
    return made


async def uploaded(bench: Bench, tmp_path: Path, code: bytes) -> str:
    deployment = await bench.deployments.create(SPACE_ID, "demo")
    await bench.packages.accept(SPACE_ID, deployment.deployment_id, as_upload(tmp_path, code))
    return deployment.deployment_id


async def stored(bench: Bench, deployment_id: str) -> Deployment:
    deployment = await bench.control.read_deployment(SPACE_ID, deployment_id)
    assert deployment is not None
    return deployment


async def demo(bench: Bench) -> Function:
    return await bench.functions.get(SPACE_ID, "demo")


async def test_the_way_of_a_deployment(bench: Bench, tmp_path: Path) -> None:
    made = await bench.deployments.create(SPACE_ID, "demo")
    assert made.deployment_id.startswith("dep-")
    assert (made.status, made.digest) == (DeploymentStatus.CREATED, None)
    bench.clock.advance(2)
    upload = as_upload(tmp_path, ONE)
    await bench.packages.accept(SPACE_ID, made.deployment_id, upload)
    kept = await stored(bench, made.deployment_id)
    assert (kept.status, kept.digest, kept.size_bytes) == (
        DeploymentStatus.UPLOADED,
        upload.digest,
        len(ONE),
    )
    assert kept.version_no == str(NOW_MS + 2000)
    assert (await demo(bench)).live_deployment_id is None
    bench.cache.invalidated.clear()
    await bench.deployments.deploy(SPACE_ID, made.deployment_id)
    function = await demo(bench)
    assert function.live_deployment_id == made.deployment_id
    assert function.live_digest == upload.digest
    assert (await stored(bench, made.deployment_id)).status is DeploymentStatus.DEPLOY_SUCCESS
    assert bench.cache.invalidated == [SPACE_ID]
    assert await bench.deployments.live_of(SPACE_ID, function) == await stored(
        bench, made.deployment_id
    )


async def test_an_old_deployment_put_live_again_is_the_rollback(
    bench: Bench, tmp_path: Path
) -> None:
    old, new = await uploaded(bench, tmp_path, ONE), await uploaded(bench, tmp_path, TWO)
    for wanted in (old, new, old, old):
        await bench.deployments.deploy(SPACE_ID, wanted)
        function = await demo(bench)
        assert function.live_deployment_id == wanted
        assert function.live_digest == (await stored(bench, wanted)).digest


async def test_the_zip_is_given_back(bench: Bench, tmp_path: Path) -> None:
    deployment_id = await uploaded(bench, tmp_path, ONE)
    size, chunks = await bench.packages.read(SPACE_ID, deployment_id)
    assert size == len(ONE)
    assert b"".join([chunk async for chunk in chunks]) == ONE
    empty = await bench.deployments.create(SPACE_ID, "demo")
    with pytest.raises(NotFoundError):
        await bench.packages.read(SPACE_ID, empty.deployment_id)


async def test_a_deployment_without_code_cannot_go_live(bench: Bench) -> None:
    made = await bench.deployments.create(SPACE_ID, "demo")
    with pytest.raises(CallerError) as caught:
        await bench.deployments.deploy(SPACE_ID, made.deployment_id)
    assert caught.value.code == "InvalidDeployment.NotUploaded"


async def test_a_bad_zip_fails_its_deployment_and_nothing_else(
    bench: Bench, tmp_path: Path
) -> None:
    good = await uploaded(bench, tmp_path, ONE)
    await bench.deployments.deploy(SPACE_ID, good)
    made = await bench.deployments.create(SPACE_ID, "demo")
    with pytest.raises(PackageError) as refused:
        await bench.packages.accept(SPACE_ID, made.deployment_id, as_upload(tmp_path, BAD))
    failed = await stored(bench, made.deployment_id)
    assert failed.status is DeploymentStatus.DEPLOY_FAILED
    assert failed.failure == refused.value.message
    assert failed.digest is None
    for attempt in (
        bench.deployments.deploy(SPACE_ID, made.deployment_id),
        bench.packages.accept(SPACE_ID, made.deployment_id, as_upload(tmp_path, ONE)),
    ):
        with pytest.raises(CallerError, match=r"was refused") as caught:
            await attempt
        assert caught.value.code == "InvalidDeployment.Failed"
        assert failed.failure in caught.value.message
    assert (await demo(bench)).live_deployment_id == good
    assert len(await bench.files.list_keys("code")) == 1


async def test_the_same_bytes_may_come_again_and_others_may_not(
    bench: Bench, tmp_path: Path
) -> None:
    deployment_id = await uploaded(bench, tmp_path, ONE)
    before = await stored(bench, deployment_id)
    await bench.packages.accept(SPACE_ID, deployment_id, as_upload(tmp_path, ONE))
    with pytest.raises(ConflictError) as caught:
        await bench.packages.accept(SPACE_ID, deployment_id, as_upload(tmp_path, TWO))
    assert caught.value.code == "InvalidDeployment.Immutable"
    assert await stored(bench, deployment_id) == before
    assert before.digest is not None
    assert await bench.files.list_keys("code") == [code_key(before.digest)]
    await bench.deployments.deploy(SPACE_ID, deployment_id)
    with pytest.raises(ConflictError):
        await bench.packages.accept(SPACE_ID, deployment_id, as_upload(tmp_path, TWO))


async def test_of_two_different_uploads_at_once_one_wins_and_one_is_told(
    bench: Bench, tmp_path: Path
) -> None:
    made = await bench.deployments.create(SPACE_ID, "demo")
    results = await asyncio.gather(
        *(
            bench.packages.accept(SPACE_ID, made.deployment_id, as_upload(tmp_path, code))
            for code in (ONE, TWO)
        ),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["ConflictError", "NoneType"]
    kept = await stored(bench, made.deployment_id)
    assert kept.status is DeploymentStatus.UPLOADED
    assert kept.digest is not None
    assert await bench.files.list_keys("code") == [code_key(kept.digest)]


async def test_of_two_equal_uploads_at_once_both_succeed(bench: Bench, tmp_path: Path) -> None:
    made = await bench.deployments.create(SPACE_ID, "demo")
    await asyncio.gather(
        *(
            bench.packages.accept(SPACE_ID, made.deployment_id, as_upload(tmp_path, ONE))
            for _ in range(2)
        )
    )
    assert (await stored(bench, made.deployment_id)).status is DeploymentStatus.UPLOADED


async def test_a_lost_blob_is_noticed_and_healed_by_the_same_upload(
    bench: Bench, tmp_path: Path
) -> None:
    deployment_id = await uploaded(bench, tmp_path, ONE)
    digest = (await stored(bench, deployment_id)).digest
    assert digest is not None
    await bench.files.delete(code_key(digest))
    with pytest.raises(CallerError) as caught:
        await bench.deployments.deploy(SPACE_ID, deployment_id)
    assert caught.value.code == "InvalidDeployment.NotUploaded"
    await bench.packages.accept(SPACE_ID, deployment_id, as_upload(tmp_path, ONE))
    await bench.deployments.deploy(SPACE_ID, deployment_id)
    assert (await demo(bench)).live_digest == digest


async def test_an_upload_that_broke_off_after_its_claim_can_be_repeated(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await bench.deployments.create(SPACE_ID, "demo")
    with monkeypatch.context() as patch:

        async def fail(_key: str, _source: Path) -> None:
            raise OSError("no space left")

        patch.setattr(bench.files, "put_file", fail)
        with pytest.raises(OSError, match="no space"):
            await bench.packages.accept(SPACE_ID, made.deployment_id, as_upload(tmp_path, ONE))
    assert (await stored(bench, made.deployment_id)).status is DeploymentStatus.CREATED
    await bench.packages.accept(SPACE_ID, made.deployment_id, as_upload(tmp_path, TWO))
    assert (await stored(bench, made.deployment_id)).status is DeploymentStatus.UPLOADED


async def test_a_blob_is_claimed_before_it_is_stored(bench: Bench, tmp_path: Path) -> None:
    made = await bench.deployments.create(SPACE_ID, "demo")
    package = as_upload(tmp_path, ONE)
    claimed: list[bool] = []

    async def look() -> None:
        claimed.append(await bench.control.digest_in_use(package.digest))

    once_before(bench.files, "put_file", look)
    await bench.packages.accept(SPACE_ID, made.deployment_id, package)
    assert claimed == [True]


async def test_unknown_ids(bench: Bench, tmp_path: Path) -> None:
    deployment_id = await uploaded(bench, tmp_path, ONE)
    for space_id, wanted in ((SPACE_ID, "dep-none"), ("mp-none", deployment_id)):
        for attempt in (
            bench.deployments.deploy(space_id, wanted),
            bench.packages.accept(space_id, wanted, as_upload(tmp_path, TWO)),
        ):
            with pytest.raises(NotFoundError) as caught:
                await attempt
            assert caught.value.code == "InvalidDeployment.NotFound"
    with pytest.raises(NotFoundError):
        await bench.deployments.create(SPACE_ID, "nope")
    with pytest.raises(NotFoundError):
        await bench.deployments.page(SPACE_ID, "nope", offset=0, limit=1)
    assert len(await bench.files.list_keys("code")) == 1


async def test_pages_are_newest_first_and_filtered_by_status(bench: Bench, tmp_path: Path) -> None:
    first = await uploaded(bench, tmp_path, ONE)
    bench.clock.advance(1)
    second = await bench.deployments.create(SPACE_ID, "demo")
    found, total = await bench.deployments.page(SPACE_ID, "demo", offset=0, limit=1)
    assert ([each.deployment_id for each in found], total) == ([second.deployment_id], 2)
    found, total = await bench.deployments.page(
        SPACE_ID, "demo", status=DeploymentStatus.UPLOADED, offset=0, limit=10
    )
    assert ([each.deployment_id for each in found], total) == ([first], 1)


async def test_a_space_deleted_during_an_upload_gets_no_code(bench: Bench, tmp_path: Path) -> None:
    made = await bench.deployments.create(SPACE_ID, "demo")
    for step in ("replace_deployment", "digest_in_use"):
        once_before(bench.control, step, lambda: bench.control.delete_space(SPACE_ID))
    with pytest.raises(NotFoundError):
        await bench.packages.accept(SPACE_ID, made.deployment_id, as_upload(tmp_path, ONE))
    assert await bench.files.list_keys("code") == []
    assert await bench.control.read_deployment(SPACE_ID, made.deployment_id) is None


async def test_a_space_deleted_while_its_blob_is_stored_leaves_no_blob(
    bench: Bench, tmp_path: Path
) -> None:
    made = await bench.deployments.create(SPACE_ID, "demo")
    once_before(bench.files, "put_file", lambda: bench.control.delete_space(SPACE_ID))
    with pytest.raises(NotFoundError):
        await bench.packages.accept(SPACE_ID, made.deployment_id, as_upload(tmp_path, ONE))
    assert await bench.files.list_keys("code") == []


@pytest.mark.parametrize("step", ["read_deployment", "read_space", "replace_space"])
async def test_a_space_deleted_while_going_live_is_not_resurrected(
    bench: Bench, tmp_path: Path, step: str
) -> None:
    deployment_id = await uploaded(bench, tmp_path, ONE)
    once_before(bench.control, step, lambda: bench.spaces.delete(SPACE_ID))
    with pytest.raises(NotFoundError):
        await bench.deployments.deploy(SPACE_ID, deployment_id)
    assert await bench.control.read_space(SPACE_ID) is None
    assert await bench.control.list_deployments(SPACE_ID, offset=0, limit=1) == ([], 0)
    assert await bench.files.list_keys("code") == []


async def test_code_of_a_deleted_function_does_not_go_live_in_a_new_one_of_that_name(
    bench: Bench, tmp_path: Path
) -> None:
    deployment_id = await uploaded(bench, tmp_path, ONE)

    async def make_anew() -> None:
        await bench.functions.delete(SPACE_ID, "demo")
        await bench.functions.create(SPACE_ID, "demo", FunctionChange())

    once_before(bench.control, "replace_space", make_anew)
    with pytest.raises(NotFoundError):
        await bench.deployments.deploy(SPACE_ID, deployment_id)
    function = await demo(bench)
    assert (function.live_deployment_id, function.live_digest) == (None, None)


@pytest.mark.parametrize("deleted", ["space", "function"])
async def test_a_deployment_made_while_its_owner_is_deleted_is_not_left_behind(
    bench: Bench, deleted: str
) -> None:
    once_before(
        bench.control,
        "create_deployment",
        lambda: (
            bench.spaces.delete(SPACE_ID)
            if deleted == "space"
            else bench.functions.delete(SPACE_ID, "demo")
        ),
    )
    with pytest.raises(NotFoundError):
        await bench.deployments.create(SPACE_ID, "demo")
    assert await bench.control.list_deployments(SPACE_ID, offset=0, limit=1) == ([], 0)
