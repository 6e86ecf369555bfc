"""Logins at platforms on loopback that check requests as the real ones do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import web

from runtime.errors import NotFoundError, TokenError
from runtime.messages import Provider
from runtime.ports import PlatformRefusedError, SystemClock
from runtime.services.directory import SpaceDirectory
from runtime.services.platform_keys import secret_keys
from runtime.services.profiles import Profiles
from runtime.services.revocations import RevocationService
from runtime.services.space_editor import SpaceEditor
from tests.harness.platform_servers import key_pair
from tests.harness.polling import until
from tests.integration.platforms_support import (
    ALIPAY_APP,
    APPS,
    BOX,
    DINGTALK_APP,
    SPACE,
    Stage,
    by_certificate,
    by_public_key,
    staged,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


@pytest.mark.parametrize("provider", list(Provider))
async def test_a_user_of_a_platform_is_the_same_user_each_time(
    stage: Stage, provider: Provider
) -> None:
    users, servers = stage.users(), stage.servers
    tokens = [
        await stage.log_in(provider, servers.log_in(f"code-{n}-/+=&", "2088000000000001"), users)
        for n in range(3)
    ]
    principals = {stage.holder(token) for token in tokens}
    (principal,) = principals
    assert (principal.provider, principal.app_id) == (provider.value, APPS[provider])
    assert principal.open_id == "2088000000000001"
    told = orjson.loads(await Profiles(stage.records).tell(SPACE, principal))
    assert told["user"]["oAuthUserId"] == told["oAuthUserId"] == "2088000000000001"
    assert told["user"]["userId"] == told["userId"] == principal.user_id
    other = stage.holder(await stage.log_in(provider, servers.log_in("c", "2089")))
    assert other.user_id != principal.user_id


@pytest.mark.parametrize("provider", list(Provider))
async def test_a_code_is_good_once_and_the_refusal_is_passed_on(
    stage: Stage, provider: Provider
) -> None:
    await stage.log_in(provider, stage.servers.log_in("once-only", "u"))
    with pytest.raises(PlatformRefusedError) as caught:
        await stage.log_in(provider, "once-only")
    code, text = {
        Provider.ALIPAY: ("isv.code-invalid", "授权码code无效"),
        Provider.WECHAT: ("40029", "invalid code"),
        Provider.DINGTALK: ("40078", "不存在的临时授权码"),
    }[provider]
    assert caught.value.code == "PlatformRefused"
    assert caught.value.answer_code == code
    assert text in caught.value.message


async def test_alipay_in_both_modes_with_both_kinds_of_ids_and_slashes(stage: Stage) -> None:
    for certificates in (False, True):
        stage.servers.certificates = certificates
        keys = by_certificate() if certificates else by_public_key()
        await stage.keys.save(SPACE, Provider.ALIPAY, keys)
        for bare in (False, True):
            stage.servers.signed_without_escapes = bare
            for user in ("2088000000000009", "012-open-id_X"):
                token = await stage.log_in(Provider.ALIPAY, stage.servers.log_in("code", user))
                assert stage.holder(token).open_id == user


async def test_alipay_refuses_who_signs_with_another_key(stage: Stage) -> None:
    await stage.keys.save(SPACE, Provider.ALIPAY, by_public_key(owner="somebody else"))
    with pytest.raises(PlatformRefusedError) as caught:
        await stage.log_in(Provider.ALIPAY, stage.servers.log_in("code", "u"))
    assert caught.value.answer_code == "isv.invalid-signature"


async def test_a_service_provider_acts_for_an_app_that_entrusted_it(stage: Stage) -> None:
    isv = "2021000000000777"
    stage.servers.alipay_apps[isv] = key_pair("isv")
    await stage.keys.save(SPACE, Provider.ALIPAY, by_public_key(isv, "isv"))
    with pytest.raises(NotFoundError, match="SaveAppAuthToken"):
        await stage.log_in(Provider.ALIPAY, stage.servers.log_in("c", "u"), isvAppId=isv)
    token = "202111BB576ef688a3564875a75a9babd6X"
    await stage.keys.entrust(SPACE, isv_app_id=isv, app_id=ALIPAY_APP, token=token)
    with pytest.raises(PlatformRefusedError, match="invalid-app-auth-token"):
        await stage.log_in(Provider.ALIPAY, "c", isvAppId=isv)
    stage.servers.entrusted[token] = ALIPAY_APP
    session = await stage.log_in(Provider.ALIPAY, "c", isvAppId=isv)
    assert stage.holder(session).app_id == ALIPAY_APP


async def test_dingtalk_access_tokens_are_kept_and_fetched_anew_when_lost(stage: Stage) -> None:
    users, servers = stage.users(), stage.servers
    for number in range(3):
        await stage.log_in(Provider.DINGTALK, servers.log_in(f"a{number}", "u"), users)
    assert servers.asked.count("/dingtalk/v1.0/oauth2/accessToken") == 1
    servers.lose_tokens()
    await stage.log_in(Provider.DINGTALK, servers.log_in("again", "u"), users)
    assert servers.asked.count("/dingtalk/v1.0/oauth2/accessToken") == 2
    await stage.keys.save(SPACE, Provider.DINGTALK, secret_keys(DINGTALK_APP, "another-secret-00"))
    with pytest.raises(PlatformRefusedError) as caught:
        await stage.log_in(Provider.DINGTALK, servers.log_in("more", "u"), users)
    assert caught.value.answer_code == "invalidClientIdOrSecret"


async def test_dingtalk_is_asked_for_a_token_a_second_time_only_once(stage: Stage) -> None:
    users, servers = stage.users(), stage.servers
    await stage.log_in(Provider.DINGTALK, servers.log_in("a", "u"), users)

    async def forgetful(request: web.Request) -> web.Response:
        if "oauth2" in request.path:
            return web.json_response({"accessToken": "useless", "expireIn": 7200})
        return web.json_response({"errcode": 42001, "errmsg": "access_token expired"})

    servers.misbehave = forgetful
    before = len(servers.asked)
    with pytest.raises(PlatformRefusedError, match="42001"):
        await stage.log_in(Provider.DINGTALK, "b", users)
    assert len(servers.asked) - before == 3
    before = len(servers.asked)
    with pytest.raises(PlatformRefusedError, match="42001"):
        await stage.log_in(Provider.DINGTALK, "c")
    assert len(servers.asked) - before == 2, "a new one that is refused is not fetched anew"


async def test_a_revocation_reaches_another_gateway_with_its_view(stage: Stage) -> None:
    clock = SystemClock()
    directories = [
        SpaceDirectory(store=stage.store, box=BOX, clock=clock, max_age_s=5, poll_s=1, max_spaces=9)
        for _ in range(2)
    ]
    here = RevocationService(
        editor=SpaceEditor(control=stage.store, cache=directories[0]),
        clock=clock,
        token_ttl_s=600,
        revocations_max=9,
    )
    token = await stage.log_in(Provider.WECHAT, stage.servers.log_in("code", "u"))
    user_id = stage.holder(token).user_id
    assert user_id
    for directory in directories:
        access = (await directory.get(SPACE)).access
        assert stage.tokens.verify(SPACE, token, access=access).user_id == user_id
    await until(lambda: clock.now_ms() > _issued_ms(token))
    await here.revoke_user(SPACE, user_id)
    with pytest.raises(TokenError, match="revoked"):
        stage.tokens.verify(SPACE, token, access=(await directories[0].get(SPACE)).access)
    await directories[1].poll()
    access = (await directories[1].get(SPACE)).access
    with pytest.raises(TokenError, match="revoked"):
        stage.tokens.verify(SPACE, token, access=access)
    again = await stage.log_in(Provider.WECHAT, stage.servers.log_in("again", "u"))
    assert stage.tokens.verify(SPACE, again, access=access).user_id == user_id


def _issued_ms(token: str) -> int:
    payload = token.split(".")[2]
    return int(orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["i"])
