"""Platforms that misbehave: slow, gone, broken, lying. Nobody logs in, nothing waits, no secret is told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import orjson
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from runtime.errors import CallerError, OverloadedError, YunhanError
from runtime.messages import Provider
from runtime.services.sealed_platform_keys import SealedPlatformKeys
from tests.harness.platform_servers import Answering, key_pair
from tests.harness.polling import until
from tests.integration.platforms_support import (
    BOX,
    LIMITS,
    SPACE,
    Stage,
    by_certificate,
    staged,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


def answers(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answering:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def no_http(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"what is HTTP?\r\n\r\n")
    request.transport.close()
    return web.Response()


async def redirect(request: web.Request) -> web.StreamResponse:
    """To where everything would be fine."""
    if "again" not in request.query:
        return web.Response(status=307, headers={"Location": f"{request.path}?again=1"})
    said = {
        "openid": "o",
        "accessToken": "t",
        "expireIn": 9,
        "errcode": 0,
        "result": {"userid": "o"},
    }
    result = f'"{_NODE}":{_GENUINE},"sign":"{_SIGN}"'
    return web.Response(text=f"{json.dumps(said)[:-1]},{result}}}")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 10_000)
    except ConnectionError:
        return response


_NODE = "alipay_system_oauth_token_response"
_GENUINE = '{"user_id":"2088000000000001","access_token":"t"}'
_SIGN = key_pair("alipay").sign(_GENUINE)
_FORGED = '{"user_id":"2088000000000666","access_token":"t"}'

HOSTILE = {
    "no JSON": answers(b"<html>502</html>", 502),
    "empty": answers(b""),
    "a list": answers(b"[]"),
    "nothing of ours": answers(b"{}"),
    "deep": answers(b'{"a":' * 700 + b"1" + b"}" * 700),
    "deeper": answers(b"[" * 4000),
    "bad UTF-8": answers(b'{"openid":"\xff\xfe"}'),
    "a huge number": answers(b'{"errcode":' + b"9" * 4000 + b"}"),
    "too long": answers(b'{"a":"' + b"x" * 9000 + b'"}'),
    "endless": endless,
    "a redirect": redirect,
    "no HTTP": no_http,
    "packed": answers(b"\x1f\x8b\x08", 200, {"Content-Encoding": "gzip"}),
    "cut": cut,
    "wrong types": answers(
        b'{"openid":5,"errcode":[],"accessToken":{},"expireIn":"x","alipay_system_oauth_token_response":[]}'
    ),
    "no id": answers(
        b'{"openid":"","accessToken":"t","expireIn":1,"errcode":0,"result":{"userid":""}}'
    ),
    "an id of spaces": answers(
        b'{"openid":"a b","accessToken":"t","expireIn":1,"result":{"userid":"a b"}}'
    ),
    "a long id": answers(f'{{"openid":"{"x" * 129}","accessToken":"t"}}'.encode()),
    "unsigned": answers(f'{{"{_NODE}":{_FORGED}}}'.encode()),
    "signed otherwise": answers(f'{{"{_NODE}":{_FORGED},"sign":"{_SIGN}"}}'.encode()),
    "twice": answers(f'{{"{_NODE}":{_GENUINE},"{_NODE}":{_FORGED},"sign":"{_SIGN}"}}'.encode()),
    "hidden in a text": answers(
        orjson.dumps({"x": f'"{_NODE}":{_GENUINE}', _NODE: orjson.loads(_FORGED), "sign": _SIGN})
    ),
    "a strange signature": answers(f'{{"{_NODE}":{_GENUINE},"sign":"字"}}'.encode()),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
async def test_hostile_answers_are_the_platforms_fault_and_nobody_logs_in(
    stage: Stage, kind: str
) -> None:
    stage.servers.misbehave = HOSTILE[kind]
    for provider in Provider:
        with pytest.raises(CallerError) as caught:
            await stage.log_in(provider, "the-code-of-a-login")
        assert caught.value.code in {"PlatformUnavailable", "PlatformRefused"}
        assert len(caught.value.message) < 500


async def test_a_genuine_answer_passes_where_the_hostile_ones_are(stage: Stage) -> None:
    stage.servers.misbehave = answers(f'{{"{_NODE}":{_GENUINE},"sign":"{_SIGN}"}}'.encode())
    token = await stage.log_in(Provider.ALIPAY, "code")
    assert stage.holder(token).open_id == "2088000000000001"


async def test_another_certificate_of_the_platform_is_told(stage: Stage) -> None:
    await stage.keys.save(SPACE, Provider.ALIPAY, by_certificate())
    number = key_pair("somebody else").sn
    body = f'{{"{_NODE}":{_GENUINE},"alipay_cert_sn":"{number}","sign":"{_SIGN}"}}'
    stage.servers.misbehave = answers(body.encode())
    with pytest.raises(CallerError, match="another certificate"):
        await stage.log_in(Provider.ALIPAY, "code")


async def test_a_slow_platform_holds_its_own_logins_only_and_ends_in_time(stage: Stage) -> None:
    async def slow(_request: web.Request) -> web.Response:
        await stage.servers.released.wait()
        return web.Response()

    stage.servers.misbehave = slow
    users = stage.users()
    waiting = [
        asyncio.create_task(stage.log_in(Provider.WECHAT, f"code{number}", users))
        for number in range(LIMITS.under_way_max_per_space)
    ]
    await until(lambda: len(stage.servers.asked) == len(waiting))
    with pytest.raises(OverloadedError):
        await stage.log_in(Provider.WECHAT, "one-more", users)
    for task in waiting:
        task.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)
    stage.limits = replace(LIMITS, timeout_s=0.05)
    with pytest.raises(CallerError) as caught:
        await stage.log_in(Provider.WECHAT, "late")
    assert caught.value.code == "RequestTimeout"
    assert "WeChat" in caught.value.message
    stage.servers.misbehave = None
    await stage.log_in(Provider.WECHAT, stage.servers.log_in("now", "u"), users)


async def test_nobody_listens(stage: Stage) -> None:
    stage.servers.url = "http://127.0.0.1:9"
    for provider in Provider:
        with pytest.raises(CallerError) as caught:
            await stage.log_in(provider, "code")
        assert caught.value.code == "PlatformUnavailable"


async def test_no_secret_is_in_an_error_a_cause_or_a_log(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def echo(request: web.Request) -> web.Response:
        """What was sent comes back as the platform's words."""
        said = f"{request.path_qs} {(await request.read()).decode()}"
        if "oauth2" in request.path:
            return web.json_response({"code": "no", "message": said})
        words = {"errcode": 1, "errmsg": said, "error_response": {"code": said, "msg": said}}
        return web.json_response(words)

    secrets = [*stage.servers.secrets.values(), "the-code-of-a-login", "c2Vzc2lvbi1rZXk="]
    secrets += [key_pair("app").private_base64[100:200], key_pair("app").private_pem[100:150]]
    seen: list[str] = []
    with capture_logs() as logs:
        for answer in (echo, *HOSTILE.values()):
            stage.servers.misbehave = answer
            for provider in Provider:
                with pytest.raises(YunhanError) as caught:
                    await stage.log_in(provider, "the-code-of-a-login")
                seen += [caught.value.message, *_chain(caught.value)]
        stage.servers.misbehave = None
        for provider in Provider:
            await stage.log_in(provider, stage.servers.log_in("the-code-of-a-login", "u"))
        access = await stage.access()
        for config in access.platforms:
            seen += [repr(config), repr(SealedPlatformKeys(BOX).open(SPACE, config))]
    seen += [repr(logs), caplog.text]
    assert "refused the login" in "".join(seen)
    for secret in secrets:
        assert not [text for text in seen if secret in text], secret


def _chain(error: BaseException) -> list[str]:
    """Everything that a log could print of an error."""
    texts: list[str] = []
    while True:
        texts += [repr(error), str(error), repr(error.args)]
        following = error.__cause__ or error.__context__
        if following is None:
            return texts
        error = following
