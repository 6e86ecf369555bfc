"""Signed addresses of code packages over HTTP: bounds, expiry, refusals."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from aiohttp import ClientSession

from runtime.messages import DeploymentStatus
from runtime.services.functions import FunctionChange
from runtime.settings import Settings
from tests.unit.interruptions import once_before
from tests.unit.management_support import SPACE_ID, Bench, make_zip

ZIP = make_zip()
ZIP_MAX = 5000


@pytest.fixture
def bench() -> Bench:
    return Bench(settings=Settings(package_zip_max_bytes=ZIP_MAX, uploads_in_flight_max=1))


@pytest.fixture
async def deployment_id(bench: Bench) -> str:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    return (await bench.deployments.create(SPACE_ID, "demo")).deployment_id


def left_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def put(session: ClientSession, address: str, data: Any) -> tuple[int, dict[str, Any]]:
    async with session.put(address, data=data) as response:
        assert response.headers["request-id"]
        body = await response.json() if response.content_type == "application/json" else {}
        if response.status >= 400:
            assert set(body) == {"RequestId", "HostId", "Code", "Message"}
        return response.status, body


async def status_of(bench: Bench, deployment_id: str) -> DeploymentStatus:
    deployment = await bench.control.read_deployment(SPACE_ID, deployment_id)
    assert deployment is not None
    return deployment.status


async def test_a_zip_goes_up_and_comes_back(
    bench: Bench, session: ClientSession, url: str, deployment_id: str, tmp_path: Path
) -> None:
    address = bench.addresses(url).upload(SPACE_ID, deployment_id)
    async with session.put(address, data=ZIP) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["ETag"] == f'"{hashlib.sha256(ZIP).hexdigest()}"'
    assert await status_of(bench, deployment_id) is DeploymentStatus.UPLOADED
    assert left_in(tmp_path) == []
    download = bench.addresses(url).download(SPACE_ID, deployment_id)
    async with session.get(download) as response:
        assert await response.read() == ZIP
        assert response.headers["Content-Type"] == "application/zip"
        assert response.headers["Content-Length"] == str(len(ZIP))
    async with session.head(download) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(ZIP)))
    assert (await put(session, address, ZIP))[0] == 200
    status, body = await put(session, address, make_zip({"index.js": "// other"}))
    assert (status, body["Code"]) == (409, "InvalidDeployment.Immutable")


async def test_a_bad_zip_is_told_and_fails_the_deployment(
    bench: Bench, session: ClientSession, url: str, deployment_id: str, tmp_path: Path
) -> None:
    address = bench.addresses(url).upload(SPACE_ID, deployment_id)
    status, body = await put(session, address, b"no zip")
    assert status == 400
    assert body["Code"].startswith("InvalidPackage.")
    deployment = await bench.control.read_deployment(SPACE_ID, deployment_id)
    assert deployment is not None
    assert deployment.status is DeploymentStatus.DEPLOY_FAILED
    assert deployment.failure == body["Message"]
    status, body = await put(session, address, ZIP)
    assert (status, body["Code"]) == (400, "InvalidDeployment.Failed")
    assert left_in(tmp_path) == []
    assert await bench.files.list_keys("code") == []


def changed(address: str, **query: str) -> str:
    parts = urlsplit(address)
    fields = dict(parse_qsl(parts.query)) | query
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(fields)}"


async def test_only_the_signed_address_opens(
    bench: Bench, session: ClientSession, url: str, deployment_id: str
) -> None:
    addresses = bench.addresses(url)
    other = (await bench.deployments.create(SPACE_ID, "demo")).deployment_id
    good = addresses.upload(SPACE_ID, deployment_id)
    forged = [
        addresses.download(SPACE_ID, deployment_id),
        good.replace(deployment_id, other),
        changed(good, SpaceId="mp-2"),
        changed(good, Expires="4102444800"),
        changed(good, Expires="x"),
        changed(good, Expires="٣"),
        changed(good, Signature=""),
        changed(good, Signature="é"),
        good.partition("?")[0],
    ]
    for address in forged:
        status, body = await put(session, address, ZIP)
        assert (status, body["Code"]) == (403, "SignatureDoesNotMatch"), address
    assert await status_of(bench, deployment_id) is DeploymentStatus.CREATED
    assert await status_of(bench, other) is DeploymentStatus.CREATED
    async with session.get(good) as response:
        assert response.status == 403


async def test_an_address_expires(
    bench: Bench, session: ClientSession, url: str, deployment_id: str
) -> None:
    address = bench.addresses(url).upload(SPACE_ID, deployment_id)
    download = bench.addresses(url).download(SPACE_ID, deployment_id)
    bench.clock.advance(bench.settings.upload_url_ttl_s)
    status, body = await put(session, address, ZIP)
    assert (status, body["Code"]) == (403, "SignedUrl.Expired")
    async with session.get(download) as response:
        assert response.status == 403


async def test_addresses_of_another_master_key_do_not_open(
    bench: Bench, session: ClientSession, url: str, deployment_id: str
) -> None:
    addresses = bench.addresses(url)
    addresses._key = b"another key"
    status, _ = await put(session, addresses.upload(SPACE_ID, deployment_id), ZIP)
    assert status == 403


@pytest.mark.parametrize("announced", [True, False])
async def test_an_upload_is_bounded_while_it_is_read(
    bench: Bench,
    session: ClientSession,
    url: str,
    deployment_id: str,
    tmp_path: Path,
    announced: bool,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    data: Any = b"x" * 20_000 if announced else chunks()
    address = bench.addresses(url).upload(SPACE_ID, deployment_id)
    status, body = await put(session, address, data)
    assert (status, body["Code"]) == (413, "EntityTooLarge")
    assert await status_of(bench, deployment_id) is DeploymentStatus.CREATED
    assert left_in(tmp_path) == []


async def test_the_largest_upload_is_read(
    bench: Bench, session: ClientSession, url: str, deployment_id: str
) -> None:
    address = bench.addresses(url).upload(SPACE_ID, deployment_id)
    status, body = await put(session, address, b"x" * ZIP_MAX)
    assert (status, body["Code"]) != (413, "EntityTooLarge")
    assert status == 400


async def test_uploads_at_the_same_time_are_bounded(
    bench: Bench, session: ClientSession, url: str, deployment_id: str
) -> None:
    address = bench.addresses(url).upload(SPACE_ID, deployment_id)
    blocked, unblock = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        blocked.set()
        await unblock.wait()

    once_before(bench.files, "put_file", hold)
    first = asyncio.create_task(put(session, address, ZIP), name="first upload")
    await blocked.wait()
    status, body = await put(session, address, ZIP)
    assert (status, body["Code"]) == (503, "Throttling.Api.Concurrency")
    unblock.set()
    assert (await first)[0] == 200
    assert (await put(session, address, ZIP))[0] == 200


async def test_an_unknown_deployment(bench: Bench, session: ClientSession, url: str) -> None:
    await bench.add_space()
    address = bench.addresses(url).upload(SPACE_ID, "dep-none")
    status, body = await put(session, address, ZIP)
    assert (status, body["Code"]) == (404, "InvalidDeployment.NotFound")


async def test_a_deployment_without_code_gives_none(
    bench: Bench, session: ClientSession, url: str, deployment_id: str
) -> None:
    async with session.get(bench.addresses(url).download(SPACE_ID, deployment_id)) as response:
        assert response.status == 404
        assert (await response.json())["Code"] == "InvalidDeployment.NotUploaded"
