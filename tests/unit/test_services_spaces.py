"""Spaces: keys, changes, and deletion that survives crashes."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from runtime.errors import CallerError, InvalidParameterError, NotFoundError, UnavailableError
from runtime.messages import Provider, Space, SpaceStatus, UserRecord
from runtime.ports import RecordQuery
from runtime.sealing import SealingError, SecretBox
from runtime.services.code_blobs import code_key
from runtime.services.functions import FunctionChange
from runtime.services.space_keys import open_keys
from runtime.settings import Settings
from tests.unit.interruptions import WRITES, Killer, StoppedError
from tests.unit.management_support import BOX, SPACE_ID, Bench, as_upload, make_record, make_zip
from tests.unit.signed_requests import NOW_MS

OTHER_ID = "mp-00000000-0000-4000-8000-000000000002"


async def test_a_new_space_has_working_sealed_keys() -> None:
    bench = Bench()
    space = await bench.spaces.create("compat", "测试")
    assert space.space_id.startswith("mp-")
    assert (space.status, space.created_ms, space.revision) == (SpaceStatus.RUNNING, NOW_MS, 1)
    keys = bench.spaces.open_keys(space)
    assert len(base64.b64decode(keys.client_secret, validate=True)) == 16
    assert keys.private_key_pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    private = serialization.load_pem_private_key(keys.private_key_pem.encode(), None)
    public = serialization.load_pem_public_key(space.public_key_pem.encode())
    assert isinstance(private, rsa.RSAPrivateKey)
    assert isinstance(public, rsa.RSAPublicKey)
    assert private.key_size == 2048
    signature = private.sign(b"text", padding.PKCS1v15(), hashes.MD5())  # as the server SDK does
    public.verify(signature, b"text", padding.PKCS1v15(), hashes.MD5())
    assert keys.client_secret.encode() not in space.client_secret_sealed
    assert keys.client_secret not in repr(keys)
    assert "PRIVATE" not in repr(keys)


async def test_sealed_keys_open_in_their_own_space_under_their_own_master_key_only() -> None:
    bench = Bench()
    space = await bench.add_space()
    with pytest.raises(SealingError):
        open_keys(SecretBox(b"x" * 32), space)
    other = await bench.add_space(OTHER_ID)
    with pytest.raises(SealingError):
        BOX.open(space.client_secret_sealed, context=f"space/{other.space_id}/client-secret")


async def test_bad_names_and_descriptions_make_no_space() -> None:
    bench = Bench()
    for name, desc in (("1abc", ""), ("compat", "x" * 129)):
        with pytest.raises(InvalidParameterError):
            await bench.spaces.create(name, desc)
    assert await bench.spaces.page(offset=0, limit=10) == ([], 0)


async def test_the_number_of_spaces_is_bounded() -> None:
    bench = Bench(settings=Settings(spaces_max=1))
    await bench.add_space()
    with pytest.raises(CallerError) as caught:
        await bench.spaces.create("compat")
    assert caught.value.code == "SpaceLimitExceeded"


async def test_an_update_changes_what_is_given_and_nothing_else() -> None:
    bench = Bench()
    await bench.add_space()
    bench.clock.advance(5)
    space = await bench.spaces.update(SPACE_ID, desc="new")
    assert (space.desc, space.status, space.modified_ms) == (
        "new",
        SpaceStatus.RUNNING,
        NOW_MS + 5000,
    )
    space = await bench.spaces.update(SPACE_ID, status=SpaceStatus.PAUSED)
    assert (space.desc, space.status, space.revision) == ("new", SpaceStatus.PAUSED, 3)
    bench.clock.advance(5)
    again = await bench.spaces.update(SPACE_ID, desc="new", status=SpaceStatus.PAUSED)
    assert again == space
    with pytest.raises(InvalidParameterError):
        await bench.spaces.update(SPACE_ID, desc="x" * 129)


async def test_a_new_private_key_replaces_the_old_one_and_leaves_the_client_secret() -> None:
    bench = Bench()
    before = await bench.spaces.create("compat")
    await bench.spaces.reset_private_key(before.space_id)
    after = await bench.spaces.get(before.space_id)
    old, new = bench.spaces.open_keys(before), bench.spaces.open_keys(after)
    assert old.client_secret == new.client_secret
    assert old.private_key_pem != new.private_key_pem
    assert before.public_key_pem != after.public_key_pem
    assert bench.cache.invalidated == [before.space_id]
    with pytest.raises(NotFoundError):
        await bench.spaces.reset_private_key("mp-none")


async def fill(bench: Bench, tmp_path: Path, space_id: str, *codes: bytes) -> Space:
    """A space whose function `f` has a deployment for each code, the last one live."""
    await bench.add_space(space_id)
    await bench.functions.create(space_id, "f", FunctionChange())
    for code in codes:
        deployment = await bench.deployments.create(space_id, "f")
        await bench.packages.accept(space_id, deployment.deployment_id, as_upload(tmp_path, code))
        await bench.deployments.deploy(space_id, deployment.deployment_id)
    await bench.records.insert([make_record(space_id=space_id, request_id=f"r-{space_id}")])
    return await bench.spaces.get(space_id)


async def records_of(bench: Bench, space_id: str) -> int:
    _, total = await bench.records.find(RecordQuery(space_id=space_id), offset=0, limit=1)
    return total


async def deployments_of(bench: Bench, space_id: str) -> int:
    _, total = await bench.control.list_deployments(space_id, offset=0, limit=1)
    return total


async def test_deleting_a_space_takes_everything_that_no_other_space_uses(tmp_path: Path) -> None:
    bench = Bench()
    shared, own = make_zip(), make_zip({"index.js": "// own"})
    await fill(bench, tmp_path, SPACE_ID, shared, own)
    kept = await fill(bench, tmp_path, OTHER_ID, shared)
    bench.cache.invalidated.clear()
    await bench.spaces.delete(SPACE_ID)
    assert await bench.control.read_space(SPACE_ID) is None
    assert await deployments_of(bench, SPACE_ID) == 0
    assert await records_of(bench, SPACE_ID) == 0
    assert SPACE_ID in bench.cache.invalidated
    live = kept.functions["f"].live_digest
    assert live is not None
    assert await bench.files.list_keys("code") == [code_key(live)]
    assert await bench.spaces.get(OTHER_ID) == kept
    assert await records_of(bench, OTHER_ID) == 1
    with pytest.raises(NotFoundError):
        await bench.spaces.delete(SPACE_ID)


async def test_a_user_who_logs_in_while_the_space_is_deleted_is_deleted_too() -> None:
    bench = Bench()
    await bench.add_space()
    users, delete = bench.parts.users, bench.control.delete_space
    late: list[UserRecord] = []

    async def log_in_first(space_id: str) -> None:
        late.append(await users.seen(space_id, Provider.WECHAT, "wx1", "open-id", now_ms=1))
        await delete(space_id)

    bench.control.delete_space = log_in_first  # type: ignore[method-assign]
    await bench.spaces.delete(SPACE_ID)
    assert await users.read(SPACE_ID, late[0].user_id) is None


async def test_a_deletion_killed_at_any_step_can_be_finished(tmp_path: Path) -> None:
    finished = 0
    for step in range(1, 50):
        bench = Bench()
        await fill(bench, tmp_path, SPACE_ID, make_zip(), make_zip({"index.js": "// two"}))
        killer = Killer(step)
        killer.watch(bench.control, *WRITES, "digest_in_use")
        killer.watch(bench.files, "delete")
        killer.watch(bench.records, "delete_space")
        try:
            await bench.spaces.delete(SPACE_ID)
        except StoppedError:
            pass
        else:
            finished = step
        killer.restart()
        left = await bench.control.read_space(SPACE_ID)
        if left is not None:
            await bench.spaces.delete(SPACE_ID)
        await bench.blobs.sweep()  # what the next start does
        assert await bench.control.read_space(SPACE_ID) is None
        assert await deployments_of(bench, SPACE_ID) == 0
        assert await records_of(bench, SPACE_ID) == 0
        assert await bench.files.list_keys("code") == []
        if finished:
            break
    assert finished > 5  # the loop met every step


async def test_what_another_gateway_makes_during_the_deletion_goes_too(tmp_path: Path) -> None:
    """In a real database the deployments and the space are deleted in two steps."""
    bench = Bench()
    space = await fill(bench, tmp_path, SPACE_ID, make_zip())
    live_id = space.functions["f"].live_deployment_id
    assert live_id is not None
    live = await bench.control.read_deployment(SPACE_ID, live_id)
    assert live is not None
    late = as_upload(tmp_path, make_zip({"index.js": "// late"}))
    delete = bench.control.delete_space
    calls = 0

    async def delete_in_two_steps(space_id: str) -> None:
        nonlocal calls
        calls += 1
        await delete(space_id)
        if calls == 1:
            made = replace(live, deployment_id="dep-late", digest=late.digest)
            await bench.control.create_deployment(made)
            await bench.blobs.store(late.digest, late.path)

    bench.control.delete_space = delete_in_two_steps  # type: ignore[method-assign]
    await bench.spaces.delete(SPACE_ID)
    assert await deployments_of(bench, SPACE_ID) == 0
    assert await bench.files.list_keys("code") == []


async def test_late_records_that_cannot_be_deleted_do_not_fail_the_deletion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    await bench.add_space()
    calls = 0

    async def second_fails(_space_id: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise UnavailableError("no logs database")

    monkeypatch.setattr(bench.records, "delete_space", second_fails)
    await bench.spaces.delete(SPACE_ID)
    assert calls == 2
    assert await bench.control.read_space(SPACE_ID) is None


async def test_a_space_under_deletion_refuses_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.add_space()

    async def fail(_space_id: str) -> None:
        raise UnavailableError("no logs database")

    monkeypatch.setattr(bench.records, "delete_space", fail)
    with pytest.raises(UnavailableError):
        await bench.spaces.delete(SPACE_ID)
    assert (await bench.spaces.get(SPACE_ID)).status is SpaceStatus.PAUSED
