"""Blobs live as long as a deployment claims them."""

import asyncio
from pathlib import Path

import pytest

from runtime.messages import Deployment, DeploymentStatus
from runtime.services.code_blobs import code_key
from tests.unit.interruptions import once_before
from tests.unit.management_support import SPACE_ID, Bench, as_upload, make_zip
from tests.unit.signed_requests import NOW_MS


def deployment(number: int, digest: str | None) -> Deployment:
    return Deployment(
        deployment_id=f"dep-{number}",
        space_id=SPACE_ID,
        function="demo",
        version_no="1",
        status=DeploymentStatus.UPLOADED,
        digest=digest,
        created_ms=NOW_MS,
        modified_ms=NOW_MS,
    )


async def test_digests_of_a_space_and_of_a_function_on_any_number_of_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.services.code_blobs._PAGE", 2)
    bench = Bench()
    for number in range(5):
        await bench.control.create_deployment(deployment(number, f"d{number}"))
    await bench.control.create_deployment(deployment(5, None))
    assert await bench.blobs.claimed_by(SPACE_ID) == {f"d{number}" for number in range(5)}
    assert len(await bench.blobs.claimed_by(SPACE_ID, "demo")) == 5
    assert await bench.blobs.claimed_by(SPACE_ID, "other") == set()
    assert await bench.blobs.claimed_by("mp-other") == set()


async def test_a_sweep_takes_blobs_without_a_deployment_only(tmp_path: Path) -> None:
    bench = Bench()
    kept, lost = as_upload(tmp_path, make_zip()), as_upload(tmp_path, b"lost")
    await bench.control.create_deployment(deployment(1, kept.digest))
    for each in (kept, lost):
        await bench.blobs.store(each.digest, each.path)
    await bench.files.put_file("code/readme.txt", lost.path)
    assert await bench.blobs.sweep() == 1
    assert await bench.files.list_keys("code") == [code_key(kept.digest), "code/readme.txt"]


async def test_a_blob_claimed_while_it_is_being_dropped_is_stored_after_the_drop(
    tmp_path: Path,
) -> None:
    bench = Bench()
    package = as_upload(tmp_path, make_zip())
    claiming: list[asyncio.Task[None]] = []

    async def claim_and_store() -> None:
        async with bench.blobs.claiming(package.digest):
            await bench.control.create_deployment(deployment(1, package.digest))
            await bench.blobs.store(package.digest, package.path)

    async def upload_meanwhile() -> None:
        claiming.append(asyncio.create_task(claim_and_store(), name="upload"))
        # Time enough to go wrong without the lock; with it, it must wait.
        await asyncio.wait(claiming, timeout=0.05)

    once_before(bench.files, "delete", upload_meanwhile)
    await bench.blobs.drop_unused([package.digest])
    await claiming[0]
    assert await bench.blobs.exists(package.digest)
