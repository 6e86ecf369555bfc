"""Who calls: sessions of anonymous users and of those whom a platform knows, and what is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.control_memory import ControlMemory
from runtime.backends.users_memory import UsersMemory
from runtime.errors import (
    InvalidParameterError,
    NotFoundError,
    OursError,
    OverloadedError,
)
from runtime.messages import (
    AccessConfig,
    PlatformConfig,
    Principal,
    Provider,
    Revocation,
    UserRecord,
)
from runtime.ports import (
    Platform,
    PlatformKeys,
    PlatformTimeoutError,
    PlatformUnavailableError,
    PlatformUser,
)
from runtime.sealing import SecretBox
from runtime.services.platform_keys import secret_keys
from runtime.services.profiles import Profiles, profile_of
from runtime.services.sealed_platform_keys import SealedPlatformKeys, StoredKeys
from runtime.services.tokens import TokenService
from runtime.services.users import LoginLimits, UserService
from tests.harness.clock import FakeClock
from tests.harness.polling import until

SPACE = "mp-00000000-0000-4000-8000-000000000001"
OTHER = "mp-00000000-0000-4000-8000-000000000002"
BOX = SecretBox(b"k" * 32)
SEALED = SealedPlatformKeys(BOX)
LOGIN = {"authProvider": "wechat_openapi", "clientIdentifier": "wx1", "authCode": "code"}


class ScriptedPlatform(Platform):
    """Everybody is the user in `open_id`, once `gate` is open."""

    name = "Scripted"

    def __init__(self) -> None:
        self.open_id = "user-1"
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[tuple[PlatformKeys, str]] = []

    async def exchange(self, keys: PlatformKeys, auth_code: str) -> PlatformUser:
        self.asked.append((keys, auth_code))
        await self.gate.wait()
        return PlatformUser(open_id=self.open_id)


class CountedUsers(UsersMemory):
    """Counts how often a user is looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def read(self, space_id: str, user_id: str) -> UserRecord | None:
        self.reads += 1
        return await super().read(space_id, user_id)


class Stage:
    """The service over memory."""

    def __init__(self, *, timeout_s: float = 60, box: SecretBox = BOX) -> None:
        self.clock = FakeClock()
        self.platform = ScriptedPlatform()
        self.other = ScriptedPlatform()
        """DingTalk."""
        self.tokens = TokenService(
            store=ControlMemory(),
            box=BOX,
            clock=self.clock,
            ttl_s=600,
            rotate_s=86_400,
            settle_s=10,
        )
        self.records = CountedUsers()
        self.users = UserService(
            tokens=self.tokens,
            records=self.records,
            platforms={**dict.fromkeys(Provider, self.platform), Provider.DINGTALK: self.other},
            keys=SealedPlatformKeys(box),
            clock=self.clock,
            limits=LoginLimits(timeout_s=timeout_s, under_way_max=3, under_way_max_per_space=2),
        )
        self.access = AccessConfig(platforms=(config(Provider.WECHAT, "wx1"),))

    async def authorize(self, space_id: str = SPACE, **params: Any) -> Principal:
        session = await self.users.authorize(space_id, self.access, {**LOGIN, **params})
        return self.tokens.verify(space_id, session["accessToken"], access=self.access)

    async def told(self, principal: Principal) -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(await Profiles(self.records).tell(SPACE, principal))
        user: dict[str, Any] = data.pop("user")
        assert data == user, "nested and flat"
        return user


def config(
    provider: Provider, app_id: str, *, space_id: str = SPACE, **entrusted: str
) -> PlatformConfig:
    stored = StoredKeys(keys=secret_keys(app_id, "the-secret"), app_auth_tokens=entrusted)
    sealed = SEALED.seal(space_id, provider, stored)
    return PlatformConfig(
        provider=provider, app_id=app_id, sealed=sealed, created_ms=1, modified_ms=1
    )


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.tokens.load()
    return stage


async def test_each_anonymous_user_is_new_and_known_by_its_id(stage: Stage) -> None:
    now_ms = stage.clock.now_ms()
    ids = set()
    for params in ({"clientIdentifier": "app"}, {}, {"clientIdentifier": "应用"}):
        session = stage.users.authorize_anonymous(SPACE, stage.access, params)
        assert session["expiresInSecond"] == 600
        principal = stage.tokens.verify(SPACE, session["accessToken"], access=stage.access)
        assert (principal.provider, principal.open_id) == (None, None)
        stage.clock.advance(60)
        assert await stage.told(principal) == {
            "userId": principal.user_id,
            "spaceId": SPACE,
            "createdAt": now_ms // 1000 * 1000,
            "lastSeenAt": now_ms // 1000 * 1000,
        }
        ids.add(principal.user_id)
        now_ms += 60_000
    assert len(ids) == 3
    assert stage.records.reads == 0, "there is no record of any of them"


async def test_users_whom_a_backend_names_are_looked_for(stage: Stage) -> None:
    await stage.told(Principal(user_id="6560f0aa0123456789abcdef"))
    assert stage.records.reads == 1


@pytest.mark.parametrize("app_id", ["x" * 129, 5, ["a"], {}])
def test_no_app_of_an_anonymous_user(app_id: object) -> None:
    with pytest.raises(InvalidParameterError):
        Stage().users.authorize_anonymous(SPACE, AccessConfig(), {"clientIdentifier": app_id})


async def test_a_platforms_user_keeps_its_id_and_its_times(stage: Stage) -> None:
    began_ms = stage.clock.now_ms()
    first = await stage.authorize()
    stage.clock.advance(3600)
    again = await stage.authorize(authCode="another")
    assert again == first
    assert first.user_id is not None
    assert first == Principal(
        user_id=first.user_id, app_id="wx1", provider="wechat_openapi", open_id="user-1"
    )
    everything = {
        "userId": first.user_id,
        "spaceId": SPACE,
        "createdAt": began_ms,
        "lastSeenAt": began_ms + 3_600_000,
        "oAuthUserId": "user-1",
    }
    assert await stage.told(first) == everything
    assert await stage.told(Principal(user_id=first.user_id)) == everything, "setUserId"
    assert stage.platform.asked[0] == (secret_keys("wx1", "the-secret"), "code")


async def test_what_is_told_of_others(stage: Stage) -> None:
    assert orjson.loads(await Profiles(stage.records).tell(SPACE, Principal())) == {"user": {}}
    stranger = Principal(user_id="6560f0aa0123456789abcdef")
    assert (await stage.told(stranger))["createdAt"] == 0x6560F0AA * 1000
    named = Principal(user_id="an id of somebody's own")
    assert await stage.told(named) == {"userId": named.user_id, "spaceId": SPACE}
    lost = Principal(user_id="6560f0aa0123456789abcdef", provider="x", open_id="o")
    assert (await stage.told(lost))["oAuthUserId"] == "o"


async def test_a_record_of_another_space_is_not_told(stage: Stage) -> None:
    elsewhere = await stage.records.seen(OTHER, Provider.WECHAT, "wx1", "user-1", now_ms=1)
    assert "oAuthUserId" not in await stage.told(Principal(user_id=elsewhere.user_id))


@pytest.mark.parametrize(
    "wrong",
    [
        {"authProvider": "taobao"},
        {"authProvider": 5},
        {"authProvider": ["wechat_openapi"]},
        {"clientIdentifier": None},
        {"clientIdentifier": ""},
        {"clientIdentifier": "../wx1"},
        {"clientIdentifier": "x" * 65},
        {"authCode": None},
        {"authCode": ""},
        {"authCode": "two words"},
        {"authCode": "字"},
        {"authCode": "x" * 513},
        {"authCode": {"a": 1}},
    ],
)
async def test_bad_parameters_reach_no_platform(stage: Stage, wrong: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        await stage.authorize(**wrong)
    assert caught.value.parameter in wrong
    assert not stage.platform.asked


async def test_alipay_is_the_platform_of_who_names_none(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="alipay_openapi"):
        await stage.authorize(authProvider=None)
    stage.access = AccessConfig(platforms=(config(Provider.ALIPAY, "2021"),))
    user = await stage.authorize(authProvider=None, clientIdentifier="2021")
    assert user.provider == "alipay_openapi"


async def test_an_app_without_keys_is_told_what_to_do(stage: Stage) -> None:
    for params in ({"clientIdentifier": "wx2"}, {"authProvider": "dingtalk_openapi"}):
        with pytest.raises(NotFoundError, match="yunhan platform set") as caught:
            await stage.authorize(**params)
        assert caught.value.code == "OpenPlatformConfig.NotFound"


async def test_a_service_provider_acts_for_alipays_apps_only(stage: Stage) -> None:
    apps = (config(Provider.ALIPAY, "isv", mine="token-of-mine"), config(Provider.WECHAT, "wx1"))
    stage.access = AccessConfig(platforms=apps)
    alipay = {"authProvider": "alipay_openapi", "isvAppId": "isv"}
    user = await stage.authorize(**alipay, clientIdentifier="mine")
    assert user.app_id == "mine"
    assert stage.platform.asked[-1][0].app_auth_token == "token-of-mine"
    assert stage.platform.asked[-1][0].app_id == "isv"
    with pytest.raises(NotFoundError, match="SaveAppAuthToken"):
        await stage.authorize(**alipay, clientIdentifier="other")
    await stage.authorize(isvAppId="isv")
    assert stage.platform.asked[-1][0].app_id == "wx1"


async def test_keys_of_another_master_key_are_ours_and_say_nothing() -> None:
    stage = Stage(box=SecretBox(b"x" * 32))
    await stage.tokens.load()
    with pytest.raises(OursError, match="YUNHAN_MASTER_KEY_FILE"):
        await stage.authorize()


@pytest.mark.parametrize("open_id", ["", "a b", "字", "x" * 129, "a\n"])
async def test_an_id_that_is_none_is_the_platforms_fault(stage: Stage, open_id: str) -> None:
    stage.platform.open_id = open_id
    with pytest.raises(PlatformUnavailableError):
        await stage.authorize()


DINGTALK = {"authProvider": "dingtalk_openapi", "clientIdentifier": "ding1"}


async def test_logins_are_bounded_for_each_space_and_each_platform(stage: Stage) -> None:
    stage.access = AccessConfig(
        platforms=(config(Provider.WECHAT, "wx1"), config(Provider.DINGTALK, "ding1"))
    )
    elsewhere = AccessConfig(platforms=(config(Provider.WECHAT, "wx1", space_id=OTHER),))
    stage.platform.gate.clear()
    async with asyncio.TaskGroup() as group:
        mine = [group.create_task(stage.authorize()) for _ in range(2)]
        await until(lambda: len(stage.platform.asked) == 2)
        with pytest.raises(OverloadedError, match="at Scripted"):
            await stage.authorize()
        group.create_task(stage.users.authorize(OTHER, elsewhere, LOGIN))
        await until(lambda: len(stage.platform.asked) == 3)
        with pytest.raises(OverloadedError):
            await stage.users.authorize(OTHER, elsewhere, LOGIN)
        assert (await stage.authorize(**DINGTALK)).open_id == "user-1", "another platform"
        stage.other.gate.clear()
        others = [group.create_task(stage.authorize(**DINGTALK)) for _ in range(2)]
        await until(lambda: len(stage.other.asked) == 3)
        with pytest.raises(OverloadedError):
            await stage.authorize(**DINGTALK)
        stage.platform.gate.set()
        stage.other.gate.set()
    assert len({task.result() for task in mine}) == 1
    assert len({task.result() for task in others}) == 1
    await stage.authorize()
    await stage.users.authorize(OTHER, elsewhere, LOGIN)


async def test_sessions_right_after_a_revocation_are_good(stage: Stage) -> None:
    """Both kinds, although revocations cover some seconds more."""
    user = await stage.authorize()
    assert user.user_id is not None
    later_ms = stage.clock.now_ms() + 5000
    revoked = Revocation(user_id=user.user_id, before_ms=later_ms)
    stage.access = AccessConfig(
        platforms=stage.access.platforms, revocations=(revoked,), tokens_from_ms=later_ms - 1
    )
    assert await stage.authorize() == user
    session = stage.users.authorize_anonymous(SPACE, stage.access, {})
    stage.tokens.verify(SPACE, session["accessToken"], access=stage.access)


async def test_a_platform_that_is_late_frees_its_place() -> None:
    stage = Stage(timeout_s=0.001)
    await stage.tokens.load()
    stage.platform.gate.clear()
    for _ in range(5):
        with pytest.raises(PlatformTimeoutError) as caught:
            await stage.authorize()
        assert caught.value.code == "RequestTimeout"
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


@given(
    app=st.text(max_size=128),
    open_id=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=128),
)
def test_every_token_is_within_its_bound(app: str, open_id: str) -> None:
    stage = Stage()
    asyncio.run(stage.tokens.load())
    principal = Principal(
        user_id="f" * 24, app_id=app, provider="dingtalk_openapi", open_id=open_id
    )
    token = stage.tokens.issue(SPACE, principal, access=stage.access)
    assert stage.tokens.verify(SPACE, token, access=stage.access) == principal


def test_the_profile_is_json_whatever_the_id() -> None:
    for user_id in ("\ud800", '"', "字", "\x00"):
        assert orjson.loads(profile_of(SPACE, Principal(user_id=user_id)))["userId"]
