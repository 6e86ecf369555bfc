"""What platforms answer, read with distrust, Alipay's signatures, and the addresses that are asked."""

from __future__ import annotations

import json
from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runtime.backends.platform_dingtalk import DingtalkPlatform
from runtime.backends.platform_wechat import WechatPlatform
from runtime.backends.platforms.alipay_signatures import (
    certificate_sn,
    is_signed,
    public_key,
    root_certificates_sn,
    sign,
    string_to_sign,
)
from runtime.backends.platforms.answers import json_object, refusal
from runtime.backends.platforms.http import PlatformAnswer, PlatformHttp, PlatformRequest
from runtime.backends.platforms.raw_members import raw_members
from runtime.ports import PlatformKeys, PlatformRefusedError, PlatformUnavailableError
from runtime.settings.users import UserSettings
from tests.harness.clock import FakeClock
from tests.harness.platform_servers import key_pair

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=9,
)
ODD = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"
ODD_RSA = "-----BEGIN CERTIFICATE-----\nMA0GCSqGSIb3DQEBCwUA\n-----END CERTIFICATE-----\n"


@given(
    st.dictionaries(st.text(max_size=9), VALUES, max_size=5),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_members_and_their_texts_are_those_of_the_object(
    value: dict[str, object], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    members = raw_members(f" \n{text}\t")
    assert {name: member.value for name, member in members.items()} == value
    for name, member in members.items():
        assert member.text in text
        assert json.loads(member.text) == value[name]


@given(st.text(st.sampled_from('{}[]":,\\a1 '), max_size=30))
def test_any_text_is_an_object_or_refused(text: str) -> None:
    try:
        members = raw_members(text)
    except ValueError:
        return
    assert json.loads(text) == {name: member.value for name, member in members.items()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "}",
        "[]",
        "1",
        '{"a":1,}',
        '{"a":1,"a":2}',
        '{"a":1}{}',
        '{"a":1} x',
        '{,"a":1}',
        "{1:2}",
        '{"a":1,"\\u0061":2}',
        '{"a":' * 9999,
        "{" * 99,
    ],
)
def test_what_two_readers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        raw_members(text)


def test_the_signed_text_is_sorted_and_without_what_is_empty() -> None:
    text = string_to_sign({"b": "2&=", "a": "字", "sign": "x", "empty": "", "A": "1"})
    assert text == "A=1&a=字&b=2&="


def test_a_signature_is_of_its_key_and_text_alone() -> None:
    app, other = key_pair("app"), key_pair("other")
    signature = sign({"a": "1"}, app.private_pem)
    assert app.has_signed("a=1", signature)
    key, another = public_key(app.certificate_pem), public_key(other.certificate_pem)
    assert is_signed("a=1", signature, key)
    assert not is_signed("a=2", signature, key)
    assert not is_signed("a=1", signature, another)
    for garbage in ("", "字", "AAAA", signature[:-4], f"{signature}=", f" {signature}"):
        assert not is_signed("a=1", garbage, key)


def test_slashes_may_be_signed_without_their_escapes() -> None:
    app = key_pair("app")
    key = public_key(app.certificate_pem)
    assert is_signed('{"u":"a\\/b"}', app.sign('{"u":"a/b"}'), key)
    assert is_signed('{"u":"a\\/b"}', app.sign('{"u":"a\\/b"}'), key)
    assert not is_signed('{"u":"a/b"}', app.sign('{"u":"a\\/b"}'), key)


def test_numbers_of_certificates() -> None:
    one, two = key_pair("root 1"), key_pair("root 2")
    assert certificate_sn(one.certificate_pem + two.certificate_pem) == one.sn
    assert root_certificates_sn(one.certificate_pem + ODD + two.certificate_pem) == (
        f"{one.sn}_{two.sn}"
    )
    with pytest.raises(ValueError, match=r"."):
        root_certificates_sn(one.certificate_pem + ODD_RSA)


def test_a_refusal_is_short_printable_and_without_secrets() -> None:
    error = refusal(
        "P", "c\x00\n" + "x" * 99, "a \x1b[31m  secret! " + "y" * 999, hidden=("secret",)
    )
    assert error.answer_code == f"c {'x' * 62}"
    assert error.message.isprintable()
    assert "*** y" not in error.message
    assert "a [31m ***! y" in error.message
    assert len(error.message) < 320
    for code, text in ((None, None), (True, []), ({}, 5), (10**5000, 10**5000)):
        assert refusal("P", code, text, hidden=("", "ab")).message.startswith("P refused")


@given(st.text(st.sampled_from("ab"), min_size=4, max_size=6), st.text(max_size=20))
def test_a_secret_is_never_repeated(secret: str, around: str) -> None:
    error = refusal("P", around + secret, secret + around + secret, hidden=(secret,))
    assert secret not in error.message


class ScriptedHttp(PlatformHttp):
    """Answers with the next of these, as JSON."""

    def __init__(self, *answers: Mapping[str, object]) -> None:
        super().__init__(response_max_bytes=1024)
        self._answers = list(answers)

    async def send(self, request: PlatformRequest) -> PlatformAnswer:
        return PlatformAnswer(status=200, body=orjson.dumps(self._answers.pop(0)))


@pytest.mark.parametrize("code", [0, "0", "", None])
async def test_wechats_success_in_any_form(code: object) -> None:
    http = ScriptedHttp({"openid": "o-1", "errcode": code}, {"openid": "o-1"})
    platform = WechatPlatform(http=http, url="https://p")
    for _ in range(2):
        assert (await platform.exchange(PlatformKeys(app_id="wx1"), "code")).open_id == "o-1"


@pytest.mark.parametrize("code", [-1, 40029, "40029", [], {}, True])
async def test_anything_else_is_wechats_refusal(code: object) -> None:
    platform = WechatPlatform(
        http=ScriptedHttp({"openid": "o-1", "errcode": code}), url="https://p"
    )
    with pytest.raises(PlatformRefusedError):
        await platform.exchange(PlatformKeys(app_id="wx1"), "code")


@pytest.mark.parametrize("code", [88, "88"])
async def test_dingtalks_code_may_be_wrapped(code: object) -> None:
    http = ScriptedHttp(
        {"accessToken": "token-1", "expireIn": 7200}, {"errcode": code, "sub_code": "40078"}
    )
    platform = DingtalkPlatform(http=http, clock=FakeClock(), url="https://p", oapi_url="https://q")
    with pytest.raises(PlatformRefusedError) as caught:
        await platform.exchange(PlatformKeys(app_id="ding1"), "code")
    assert caught.value.answer_code == "40078"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"1", b'{"a":' * 2000])
def test_what_is_no_object_is_the_platforms_fault(body: bytes) -> None:
    with pytest.raises(PlatformUnavailableError) as caught:
        json_object("P", PlatformAnswer(status=502, body=body))
    assert caught.value.__context__ is None
    assert "502" in caught.value.message


def test_requests_and_answers_show_nothing_of_what_they_hold() -> None:
    held = {"secret": "held-back"}
    request = PlatformRequest(
        platform="P", method="GET", url="https://p", query=held, form=held, json=held
    )
    assert "held-back" not in repr(request)
    assert "held-back" not in repr(PlatformAnswer(status=200, body=orjson.dumps(held)))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "ftp://example.com",
        "https://",
        "https://u:p@example.com",
        "https://e.com/?a=b",
        "https://e.com?",
        "https://e.com/#",
        "https://:pw@example.com",
        "https://@example.com",
        "https://example.com:99999",
        "https://example.com:abc",
        "https://example.com:0",
        "https://example.com:",
        "https://a b",
        "https://example.com/\n",
        "https://exa\nmple.com",
        " https://example.com",
        "https://example.com\\@other.com",
        "https://[::1",
        "https:///path",
        "http://localhost.example.com",
    ],
)
def test_keys_travel_to_safe_addresses_only(url: str) -> None:
    with pytest.raises(ValidationError, match="https URL"):
        UserSettings(platform_wechat_url=url)


def test_addresses_of_this_machine_and_paths_are_taken() -> None:
    settings = UserSettings(platform_wechat_url="http://127.0.0.1:9/wechat/")
    assert settings.platform_wechat_url == "http://127.0.0.1:9/wechat"
    for address in ("http://[::1]:80/x", "https://openapi-sandbox.dl.alipaydev.com:443/a_b/c~d"):
        assert UserSettings(platform_alipay_url=address).platform_alipay_url == address
    with pytest.raises(ValidationError, match="PER_SPACE"):
        UserSettings(platform_logins_max=1)
