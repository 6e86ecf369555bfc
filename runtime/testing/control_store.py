"""What every `ControlStore` adapter must keep. Subclass it and give `store`: an empty one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runtime.errors import ConflictError, NotFoundError
from runtime.ids import new_deployment_id, new_space_id
from runtime.messages import DeploymentStatus, Function, HttpTriggerConfig, SpaceStatus
from runtime.ports import ControlStore, TokenKey
from runtime.testing.control_domains import CustomDomainContract
from runtime.testing.control_samples import NOW_MS, sample_deployment, sample_space
from runtime.testing.control_timers import TimerContract


class ControlStoreContract(CustomDomainContract, TimerContract):
    """The rules of the port, as tests."""

    @pytest.fixture
    def store(self) -> ControlStore:
        raise NotImplementedError

    # spaces

    async def test_space_comes_back_equal(self, store: ControlStore) -> None:
        functions = {
            name: Function(
                name=name, memory_mb=512, live_deployment_id="dep-1", live_digest="ab" * 32
            )
            for name in ("hello", "with-dash", "with_underscore", "0")
        }
        http_triggers = HttpTriggerConfig(
            enabled=True,
            custom_domain="pay.example.com",
            certificate_pem="-----BEGIN CERTIFICATE-----\n",
            certificate_key_sealed=b"\x01\x00\xffkey",
            request_max_bytes=8192,
        )
        space = sample_space(
            functions=functions,
            status=SpaceStatus.PAUSED,
            revision=7,
            http_triggers=http_triggers,
        )
        await store.create_space(space)
        assert await store.read_space(space.space_id) == space

    async def test_absent_space_is_none(self, store: ControlStore) -> None:
        assert await store.read_space(new_space_id()) is None

    async def test_space_is_created_once(self, store: ControlStore) -> None:
        space = sample_space()
        await store.create_space(space)
        with pytest.raises(ConflictError) as caught:
            await store.create_space(replace(space, name="other"))
        assert caught.value.code == "AlreadyExists"
        assert await store.read_space(space.space_id) == space

    async def test_stored_space_is_independent_of_the_callers_value(
        self, store: ControlStore
    ) -> None:
        functions = {"hello": Function(name="hello")}
        space = sample_space(functions=functions)
        await store.create_space(space)
        functions["later"] = Function(name="later")
        stored = await store.read_space(space.space_id)
        assert stored is not None
        assert list(stored.functions) == ["hello"]

    async def test_replace_needs_the_next_revision(self, store: ControlStore) -> None:
        first = sample_space()
        await store.create_space(first)
        second = replace(first, revision=2, functions={"a": Function(name="a")})
        await store.replace_space(second)
        assert await store.read_space(first.space_id) == second
        for stale in (1, 2, 4):
            with pytest.raises(ConflictError):
                await store.replace_space(replace(first, revision=stale, name="stale"))
        assert await store.read_space(first.space_id) == second

    async def test_replace_removes_functions(self, store: ControlStore) -> None:
        first = sample_space(functions={n: Function(name=n) for n in ("a", "b")})
        await store.create_space(first)
        second = replace(first, revision=2, functions={"b": Function(name="b")})
        await store.replace_space(second)
        assert await store.read_space(first.space_id) == second

    async def test_replace_of_an_absent_space(self, store: ControlStore) -> None:
        with pytest.raises(NotFoundError):
            await store.replace_space(sample_space(revision=2))

    async def test_one_of_many_concurrent_changes_wins(self, store: ControlStore) -> None:
        space = sample_space()
        await store.create_space(space)
        results = await asyncio.gather(
            *(store.replace_space(replace(space, revision=2, name=f"n{i}")) for i in range(8)),
            return_exceptions=True,
        )
        won = [i for i, result in enumerate(results) if result is None]
        assert len(won) == 1
        assert sum(isinstance(result, ConflictError) for result in results) == 7
        stored = await store.read_space(space.space_id)
        assert stored is not None
        assert stored.name == f"n{won[0]}"

    async def test_deleting_a_space_takes_its_deployments(self, store: ControlStore) -> None:
        gone, kept = sample_space(), sample_space()
        for space in (gone, kept):
            await store.create_space(space)
            await store.create_deployment(sample_deployment(space.space_id))
        await store.delete_space(gone.space_id)
        await store.delete_space(gone.space_id)
        assert await store.read_space(gone.space_id) is None
        assert (await store.list_deployments(gone.space_id, offset=0, limit=9))[1] == 0
        assert await store.read_space(kept.space_id) == kept
        assert (await store.list_deployments(kept.space_id, offset=0, limit=9))[1] == 1

    async def test_deleted_space_is_not_revived_by_replace(self, store: ControlStore) -> None:
        space = sample_space()
        await store.create_space(space)
        await store.delete_space(space.space_id)
        with pytest.raises(NotFoundError):
            await store.replace_space(replace(space, revision=2))
        assert await store.read_space(space.space_id) is None

    async def test_spaces_are_listed_newest_first(self, store: ControlStore) -> None:
        spaces = [sample_space(created_ms=NOW_MS + i) for i in (2, 0, 3, 1)]
        for space in spaces:
            await store.create_space(space)
        newest_first = sorted(spaces, key=lambda space: -space.created_ms)
        assert await store.list_spaces(offset=0, limit=10) == (newest_first, 4)
        assert await store.list_spaces(offset=1, limit=2) == (newest_first[1:3], 4)
        assert await store.list_spaces(offset=4, limit=2) == ([], 4)
        assert await store.list_spaces(offset=0, limit=0) == ([], 4)

    async def test_equal_times_still_have_one_order(self, store: ControlStore) -> None:
        for _ in range(5):
            await store.create_space(sample_space())
        whole, _ = await store.list_spaces(offset=0, limit=5)
        pages = [(await store.list_spaces(offset=i, limit=1))[0][0] for i in range(5)]
        assert pages == list(whole)

    async def test_only_the_named_spaces_are_listed(self, store: ControlStore) -> None:
        spaces = [sample_space(created_ms=NOW_MS + i) for i in range(3)]
        for space in spaces:
            await store.create_space(space)
        ids = [spaces[0].space_id, new_space_id(), spaces[2].space_id]
        found = await store.list_spaces(space_ids=ids, offset=0, limit=10)
        assert found == ([spaces[2], spaces[0]], 2)

    async def test_revisions_of_those_that_exist(self, store: ControlStore) -> None:
        spaces = [sample_space(revision=i) for i in range(1, 131)]  # more than one request's worth
        for space in spaces:
            await store.create_space(space)
        wanted = [space.space_id for space in spaces[10:]] + [new_space_id()]
        expected = {space.space_id: space.revision for space in spaces[10:]}
        assert await store.revisions(wanted) == expected
        assert await store.revisions([]) == {}

    # deployments

    async def test_deployment_comes_back_equal(self, store: ControlStore) -> None:
        deployment = sample_deployment(
            "mp-1",
            status=DeploymentStatus.DEPLOY_FAILED,
            digest="cd" * 32,
            size_bytes=2**40,
            failure="缺少 index.js",
        )
        await store.create_deployment(deployment)
        assert await store.read_deployment("mp-1", deployment.deployment_id) == deployment

    async def test_deployment_is_seen_in_its_space_only(self, store: ControlStore) -> None:
        deployment = sample_deployment("mp-1")
        await store.create_deployment(deployment)
        assert await store.read_deployment("mp-2", deployment.deployment_id) is None
        assert await store.read_deployment("mp-1", new_deployment_id()) is None

    async def test_deployment_is_created_once(self, store: ControlStore) -> None:
        deployment = sample_deployment("mp-1")
        await store.create_deployment(deployment)
        with pytest.raises(ConflictError) as caught:
            await store.create_deployment(replace(deployment, space_id="mp-2"))
        assert caught.value.code == "AlreadyExists"
        assert await store.read_deployment("mp-1", deployment.deployment_id) == deployment

    async def test_deployment_changes_from_the_expected_status(self, store: ControlStore) -> None:
        created = sample_deployment("mp-1")
        await store.create_deployment(created)
        uploaded = replace(created, status=DeploymentStatus.UPLOADED, digest="ef" * 32)
        await store.replace_deployment(uploaded, expected=DeploymentStatus.CREATED)
        with pytest.raises(ConflictError):
            await store.replace_deployment(
                replace(uploaded, digest="00" * 32), expected=DeploymentStatus.CREATED
            )
        assert await store.read_deployment("mp-1", created.deployment_id) == uploaded

    async def test_change_of_an_absent_deployment(self, store: ControlStore) -> None:
        deployment = sample_deployment("mp-1")
        with pytest.raises(NotFoundError):
            await store.replace_deployment(deployment, expected=DeploymentStatus.CREATED)
        await store.create_deployment(deployment)
        with pytest.raises(NotFoundError):
            await store.replace_deployment(
                replace(deployment, space_id="mp-2"), expected=DeploymentStatus.CREATED
            )

    async def test_deployments_are_listed_by_function_and_status(self, store: ControlStore) -> None:
        made = [
            sample_deployment("mp-1", function, created_ms=NOW_MS + i, status=status)
            for i, (function, status) in enumerate(
                [
                    ("a", DeploymentStatus.CREATED),
                    ("a", DeploymentStatus.DEPLOY_SUCCESS),
                    ("b", DeploymentStatus.DEPLOY_SUCCESS),
                    ("a", DeploymentStatus.DEPLOY_SUCCESS),
                ]
            )
        ]
        for deployment in [*made, sample_deployment("mp-2", "a")]:
            await store.create_deployment(deployment)
        newest_first = made[::-1]
        assert await store.list_deployments("mp-1", offset=0, limit=9) == (newest_first, 4)
        found = await store.list_deployments("mp-1", function="a", offset=1, limit=1)
        assert found == ([made[1]], 3)
        found = await store.list_deployments(
            "mp-1", function="a", status=DeploymentStatus.DEPLOY_SUCCESS, offset=0, limit=9
        )
        assert found == ([made[3], made[1]], 2)
        found = await store.list_deployments(
            "mp-1", status=DeploymentStatus.UPLOADED, offset=0, limit=9
        )
        assert found == ([], 0)
        assert await store.list_deployments("mp-1", offset=0, limit=0) == ([], 4)

    async def test_deployments_of_one_function_are_deleted(self, store: ControlStore) -> None:
        keep = [sample_deployment("mp-1", "b"), sample_deployment("mp-2", "a")]
        for deployment in [*keep, sample_deployment("mp-1", "a"), sample_deployment("mp-1", "a")]:
            await store.create_deployment(deployment)
        await store.delete_deployments("mp-1", "a")
        await store.delete_deployments("mp-1", "a")
        assert (await store.list_deployments("mp-1", offset=0, limit=9))[0] == [keep[0]]
        assert (await store.list_deployments("mp-2", offset=0, limit=9))[0] == [keep[1]]

    async def test_digest_is_in_use_by_any_space(self, store: ControlStore) -> None:
        digest = "12" * 32
        assert not await store.digest_in_use(digest)
        for space_id in ("mp-1", "mp-2"):
            await store.create_deployment(sample_deployment(space_id, digest=digest))
        await store.delete_deployments("mp-1", "hello")
        assert await store.digest_in_use(digest)
        await store.delete_deployments("mp-2", "hello")
        assert not await store.digest_in_use(digest)

    # token keys

    async def test_token_keys_newest_first(self, store: ControlStore) -> None:
        assert list(await store.token_keys()) == []
        old = TokenKey(key_id="k1", sealed=b"\x00\x01", created_ms=NOW_MS)
        new = TokenKey(key_id="k0", sealed=b"\x00\x02", created_ms=NOW_MS + 1)
        await store.add_token_key(old)
        await store.add_token_key(new)
        assert list(await store.token_keys()) == [new, old]

    async def test_first_value_of_a_token_key_stays(self, store: ControlStore) -> None:
        key = TokenKey(key_id="k1", sealed=b"first", created_ms=NOW_MS)
        await store.add_token_key(key)
        await store.add_token_key(replace(key, sealed=b"second"))
        assert list(await store.token_keys()) == [key]

    async def test_token_key_is_deleted(self, store: ControlStore) -> None:
        key = TokenKey(key_id="k1", sealed=b"x", created_ms=NOW_MS)
        await store.add_token_key(key)
        await store.delete_token_key("k1")
        await store.delete_token_key("k1")
        assert list(await store.token_keys()) == []

    async def test_the_first_shared_value_of_a_name_stays(self, store: ControlStore) -> None:
        assert await store.keep_first("key", b"first") == b"first"
        assert await store.keep_first("key", b"second") == b"first"
        assert await store.keep_first("other", b"third") == b"third"
