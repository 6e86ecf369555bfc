"""Keys of platforms: read in every form that people paste, stored sealed, told only in part."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ConflictError, InvalidParameterError, NotFoundError, OursError
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.gateway.management.platforms import ACTIONS, masked
from runtime.messages import PlatformConfig, Provider
from runtime.ports import PlatformKeys, SignMode
from runtime.sealing import SecretBox
from runtime.services.platform_key_texts import (
    read_certificate,
    read_certificates,
    read_private_key,
    read_public_key,
)
from runtime.services.platform_keys import PlatformKeyService, alipay_keys, secret_keys
from runtime.services.sealed_platform_keys import SealedPlatformKeys, StoredKeys
from tests.harness.platform_servers import key_pair
from tests.unit.management_support import BOX, SPACE_ID, Bench

SECRET = "0123456789abcdef0123456789abWXYZ"
APP = key_pair("app")
BROKEN_DER = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.add_space()
    return bench


@pytest.fixture
def keys(bench: Bench) -> PlatformKeyService:
    return PlatformKeyService(
        editor=bench.editor, sealed=SealedPlatformKeys(BOX), clock=bench.clock, apps_max=3
    )


async def act(keys: PlatformKeyService, action: str, **parameters: str) -> Any:
    deps = cast(ManagementDeps, SimpleNamespace(platform_keys=keys))
    return await ACTIONS[action](deps, Parameters({"SpaceId": SPACE_ID, **parameters}))


def traditional(key: rsa.RSAPrivateKey, encoding: serialization.Encoding) -> bytes:
    """PKCS #1."""
    return key.private_bytes(
        encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def test_a_private_key_is_read_in_every_form() -> None:
    der = base64.b64encode(traditional(APP.private, serialization.Encoding.DER)).decode()
    pem = traditional(APP.private, serialization.Encoding.PEM).decode()
    lines = "\n".join(der[at : at + 64] for at in range(0, len(der), 64))
    for text in (
        APP.private_base64,
        APP.private_pem,
        f"\n  {APP.private_pem}\r\n",
        APP.private_pem.replace("\n", " "),
        APP.private_pem.replace("\n", "\\n"),
        APP.private_pem.replace("\n", "\r\n"),
        der,
        lines,
        pem,
    ):
        assert read_private_key("PrivateKey", text) == APP.private_pem


def test_public_keys_and_certificates_too() -> None:
    public = read_public_key("PublicKey", APP.public_base64)
    assert read_public_key("PublicKey", public) == public
    flat = APP.certificate_pem.replace("\n", " ")
    assert read_certificate("AppCert", flat) == APP.certificate_pem
    both = f"{BROKEN_DER}\n{flat}"
    assert read_certificates("RootCert", both) == BROKEN_DER + APP.certificate_pem


def _other_keys() -> list[str]:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    curve = ec.generate_private_key(ec.SECP256R1())
    return [
        each.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        for each in (small, curve)
    ]


def test_what_is_no_such_key_is_refused_and_not_quoted() -> None:
    cut = APP.private_base64[:-40]
    for text in (
        *_other_keys(),
        cut,
        "字",
        "AAAA",
        APP.certificate_pem,
        "x" * 9000,
        APP.public_base64,
    ):
        with pytest.raises(InvalidParameterError) as caught:
            read_private_key("PrivateKey", text)
        assert caught.value.code == "InvalidParameter.PrivateKey"
        assert text[:20] not in caught.value.message
    for text in (APP.private_base64, APP.certificate_pem, "AAAA"):
        with pytest.raises(InvalidParameterError):
            read_public_key("PublicKey", text)
    for text in (APP.private_pem, APP.public_base64, BROKEN_DER, "", "字", "x" * 40_000):
        with pytest.raises(InvalidParameterError):
            read_certificate("AppCert", text)
        with pytest.raises(InvalidParameterError):
            read_certificates("RootCert", text)


@given(st.text(max_size=300), st.sampled_from(["", "-----BEGIN PRIVATE KEY-----"]))
def test_any_text_is_a_key_or_a_refusal(text: str, start: str) -> None:
    for reader in (read_private_key, read_public_key, read_certificate, read_certificates):
        with pytest.raises(InvalidParameterError):
            reader("Key", start + text)


def test_the_mode_follows_from_what_is_given() -> None:
    texts: dict[str, str | None] = {"PrivateKey": APP.private_base64}
    assert alipay_keys("a", sign_mode=None, texts=texts).sign_mode is SignMode.PUBLIC_KEY
    with pytest.raises(InvalidParameterError) as caught:
        alipay_keys("a", sign_mode=SignMode.CERT, texts=texts)
    assert caught.value.code == "MissingAppCert"
    texts["AppCert"] = key_pair("other").certificate_pem
    texts |= {"PublicCert": APP.certificate_pem, "RootCert": APP.certificate_pem}
    with pytest.raises(InvalidParameterError, match="not of the key"):
        alipay_keys("a", sign_mode=None, texts=texts)
    texts["AppCert"] = APP.certificate_pem
    assert alipay_keys("a", sign_mode=None, texts=texts).sign_mode is SignMode.CERT
    with pytest.raises(InvalidParameterError) as caught:
        alipay_keys("a", sign_mode=None, texts={})
    assert caught.value.code == "MissingPrivateKey"


@pytest.mark.parametrize(
    ("app_id", "secret"),
    [("", "s"), ("a/b", "s"), ("字", "s"), ("a", ""), ("a", "a b"), ("a", "字")],
)
def test_no_app_and_no_secret(app_id: str, secret: str) -> None:
    with pytest.raises(InvalidParameterError):
        secret_keys(app_id, secret)


async def test_alipay_is_saved_and_listed_without_its_private_key(
    bench: Bench, keys: PlatformKeyService
) -> None:
    given = {"PrivateKey": APP.private_base64, "PublicKey": APP.public_base64}
    await act(keys, "SaveAntOpenPlatformConfig", AppId="2021", SignMode="PUBLIC_KEY", **given)
    (row,) = (await act(keys, "ListOpenPlatformConfig"))["SecretList"]
    assert {name: row[name] for name in ("Platform", "AppId", "SignMode", "SpaceId")} == {
        "Platform": "Alipay",
        "AppId": "2021",
        "SignMode": "PUBLIC_KEY",
        "SpaceId": SPACE_ID,
    }
    assert row["PrivateKey"] == "****"
    assert "BEGIN PUBLIC KEY" in row["PublicKey"]
    assert all(isinstance(value, str) for value in row.values())
    stored = repr(await bench.editor.read(SPACE_ID)) + str(
        (await bench.editor.read(SPACE_ID)).access.platforms[0].sealed
    )
    assert APP.private_base64[100:140] not in stored


async def test_wechat_is_saved_again_and_deleted(bench: Bench, keys: PlatformKeyService) -> None:
    save = {"AppId": "wx1", "AppSecret": SECRET}
    await act(keys, "SaveWechatOpenPlatformConfig", **save)
    before = await bench.editor.read(SPACE_ID)
    await act(keys, "SaveWechatOpenPlatformConfig", **save)
    assert await bench.editor.read(SPACE_ID) == before, "the same again changes nothing"
    await act(keys, "SaveWechatOpenPlatformConfig", AppId="wx1", AppSecret=SECRET[::-1])
    for platform in ("Wechat", "wechat", ""):
        listed = await act(keys, "ListOpenPlatformConfig", Platform=platform)
        assert [row["AppSecret"] for row in listed["SecretList"]] == ["****3210"]
    assert not (await act(keys, "ListOpenPlatformConfig", Platform="Alipay"))["SecretList"]
    await act(keys, "DeleteWechatOpenPlatformConfig", AppId="wx1")
    with pytest.raises(NotFoundError) as caught:
        await act(keys, "DeleteWechatOpenPlatformConfig", AppId="wx1")
    assert caught.value.code == "OpenPlatformConfig.NotFound"


async def test_dingtalk_is_added_once_and_updated_when_there(
    bench: Bench, keys: PlatformKeyService
) -> None:
    save = {"AppId": "d1", "AppSecret": SECRET}
    with pytest.raises(NotFoundError):
        await act(keys, "UpdateDingtalkOpenPlatformConfig", **save)
    await act(keys, "AddDingtalkOpenPlatformConfig", **save)
    with pytest.raises(ConflictError):
        await act(keys, "AddDingtalkOpenPlatformConfig", **save)
    bench.clock.advance(5)
    await act(keys, "UpdateDingtalkOpenPlatformConfig", AppId="d1", AppSecret="short")
    (row,) = (await act(keys, "ListDingtalkOpenPlatformConfigs"))["Configs"]
    assert (row["AppId"], row["AppSecret"]) == ("d1", "****")
    assert row["CreateTime"] < row["UpdateTime"]
    await act(keys, "DeleteDingtalkOpenPlatformConfig", AppId="d1")
    assert (await act(keys, "ListDingtalkOpenPlatformConfigs")) == {"Configs": []}


async def test_what_apps_entrusted_outlives_new_keys(
    bench: Bench, keys: PlatformKeyService
) -> None:
    entrust = {"IsvAppId": "isv", "AppId": "mine", "AppAuthToken": "202111BB"}
    with pytest.raises(NotFoundError):
        await act(keys, "SaveAppAuthToken", **entrust)
    first, second = (key_pair(owner).private_base64 for owner in ("app", "other"))
    await act(keys, "SaveAntOpenPlatformConfig", AppId="isv", PrivateKey=first)
    await act(keys, "SaveAppAuthToken", **entrust)
    await act(keys, "SaveAntOpenPlatformConfig", AppId="isv", PrivateKey=second)
    (config,) = (await bench.editor.read(SPACE_ID)).access.platforms
    stored = SealedPlatformKeys(BOX).open(SPACE_ID, config)
    assert stored.app_auth_tokens == {"mine": "202111BB"}
    assert stored.keys.private_key == key_pair("other").private_pem
    assert "202111BB" not in repr(stored)
    assert "202111BB" not in str(await act(keys, "ListOpenPlatformConfig"))


async def test_apps_are_bounded_and_platforms_are_apart(keys: PlatformKeyService) -> None:
    await act(keys, "SaveWechatOpenPlatformConfig", AppId="same", AppSecret=SECRET)
    await act(keys, "AddDingtalkOpenPlatformConfig", AppId="same", AppSecret=SECRET)
    await act(keys, "AddDingtalkOpenPlatformConfig", AppId="more", AppSecret=SECRET)
    with pytest.raises(InvalidParameterError) as caught:
        await act(keys, "AddDingtalkOpenPlatformConfig", AppId="too-many", AppSecret=SECRET)
    assert caught.value.code == "OpenPlatformConfigLimitExceeded"
    await act(keys, "UpdateDingtalkOpenPlatformConfig", AppId="more", AppSecret="another")
    await act(keys, "DeleteDingtalkOpenPlatformConfig", AppId="same")
    assert len((await act(keys, "ListOpenPlatformConfig"))["SecretList"]) == 1


async def test_many_at_once_lose_nothing(keys: PlatformKeyService) -> None:
    await asyncio.gather(
        *(
            act(keys, "SaveWechatOpenPlatformConfig", AppId=f"wx{number}", AppSecret=SECRET)
            for number in range(3)
        )
    )
    listed = await act(keys, "ListOpenPlatformConfig")
    assert {row["AppId"] for row in listed["SecretList"]} == {"wx0", "wx1", "wx2"}


async def test_keys_that_do_not_open_can_be_listed_replaced_and_deleted(
    bench: Bench, keys: PlatformKeyService
) -> None:
    await act(keys, "SaveWechatOpenPlatformConfig", AppId="wx1", AppSecret=SECRET)
    sealed = SealedPlatformKeys(SecretBox(b"o" * 32))
    later = PlatformKeyService(editor=bench.editor, sealed=sealed, clock=bench.clock, apps_max=3)
    (row,) = (await act(later, "ListOpenPlatformConfig"))["SecretList"]
    assert row == {"SpaceId": SPACE_ID, "Platform": "Wechat", "AppId": "wx1"}
    (config,) = (await bench.editor.read(SPACE_ID)).access.platforms
    with pytest.raises(OursError) as caught:
        sealed.open(SPACE_ID, config)
    assert SECRET not in caught.value.message
    await act(later, "SaveWechatOpenPlatformConfig", AppId="wx1", AppSecret=SECRET)
    (row,) = (await act(later, "ListOpenPlatformConfig"))["SecretList"]
    assert row["AppSecret"] == "****WXYZ"


def test_sealed_keys_open_at_their_place_only() -> None:
    sealed = SealedPlatformKeys(BOX)
    stored = StoredKeys(keys=PlatformKeys(app_id="a", app_secret=SECRET))
    other_places = [("mp-2", Provider.WECHAT, "a"), (SPACE_ID, Provider.DINGTALK, "a")]
    other_places += [(SPACE_ID, Provider.WECHAT, "b")]

    def config(provider: Provider, app_id: str) -> PlatformConfig:
        return PlatformConfig(
            provider=provider,
            app_id=app_id,
            sealed=sealed.seal(SPACE_ID, Provider.WECHAT, stored),
            created_ms=1,
            modified_ms=1,
        )

    assert sealed.open(SPACE_ID, config(Provider.WECHAT, "a")) == stored
    for space_id, provider, app_id in other_places:
        with pytest.raises(OursError):
            sealed.open(space_id, config(provider, app_id))


def test_little_is_told_of_a_secret() -> None:
    assert masked("") == ""
    assert masked("0123456789abcde") == "****"
    assert masked("0123456789abcdef") == "****cdef"
