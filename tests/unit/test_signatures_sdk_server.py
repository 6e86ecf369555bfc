"""The signature of `/server` bodies against what the official SDK sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import OursError
from runtime.signatures import sdk_server
from runtime.signatures.sdk_client import string_to_sign
from tests.unit.signature_forgeries import changed_by_a_character, with_other_fields

FIXTURES = Path(__file__).parent.parent / "fixtures"
PUBLIC = json.loads((FIXTURES / "keys.json").read_text())["serverPublicKey"]
CASES: list[dict[str, Any]] = json.loads((FIXTURES / "signatures_sdk_server.json").read_text())
SOME = [case for case in CASES if case["case"] in {"function.invoke", "setUserId", "find()"}]
GOOD_BODY = json.loads(CASES[0]["body"])
GOOD = CASES[0]["signature"]

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_captured_requests(case: dict[str, Any]) -> None:
    body = json.loads(case["body"])
    assert string_to_sign(body).decode() == case["stringToSign"]
    assert sdk_server.verify(body, case["signature"], PUBLIC)
    assert not sdk_server.verify(body, case["signature"], pem(KEY.public_key()))


def test_there_are_captures_with_and_without_a_user() -> None:
    users = {json.loads(case["body"]).get("userId") for case in CASES}
    assert users == {None, "user-1"}
    assert len(SOME) == 3


@pytest.mark.parametrize("case", SOME, ids=lambda case: case["case"])
def test_any_changed_character_of_any_field_is_refused(case: dict[str, Any]) -> None:
    for forged in changed_by_a_character(json.loads(case["body"])):
        assert not sdk_server.verify(forged, case["signature"], PUBLIC), forged


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_no_field_can_be_taken_away_or_added(case: dict[str, Any]) -> None:
    for forged in with_other_fields(json.loads(case["body"])):
        assert not sdk_server.verify(forged, case["signature"], PUBLIC), forged


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0",
        "00",
        "0" * 512,
        "f" * 512,
        "0" * 8000,
        GOOD.upper(),
        GOOD[:-2],
        GOOD + "00",
        "00" + GOOD,
        " " + GOOD,
        f"{GOOD[:2]} {GOOD[2:]}",
        GOOD[:-1],
        "é" * 512,
        "\ud800" * 512,
        "\uff10" * 512,  # a digit, but no ASCII one
    ],
)
def test_nonsense_as_signature_is_refused_without_an_exception(signature: str) -> None:
    assert not sdk_server.verify(GOOD_BODY, signature, PUBLIC)


@given(st.text() | st.binary(max_size=300).map(bytes.hex))
def test_no_text_is_a_signature(signature: str) -> None:
    assert not sdk_server.verify(GOOD_BODY, signature, PUBLIC)


def test_only_this_padding_and_this_digest() -> None:
    data = string_to_sign(GOOD_BODY)
    public = pem(KEY.public_key())
    right = KEY.sign(data, padding.PKCS1v15(), hashes.MD5()).hex()
    assert sdk_server.verify(GOOD_BODY, right, public)
    other_digest = KEY.sign(data, padding.PKCS1v15(), hashes.SHA256()).hex()
    assert not sdk_server.verify(GOOD_BODY, other_digest, public)
    other_padding = KEY.sign(data, padding.PSS(padding.MGF1(hashes.MD5()), 16), hashes.MD5()).hex()
    assert not sdk_server.verify(GOOD_BODY, other_padding, public)


@pytest.mark.parametrize(
    "stored",
    ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "\x00", "é"],
)
def test_a_stored_key_that_is_none_is_our_fault(stored: str) -> None:
    with pytest.raises(OursError, match="public key of a space cannot be read"):
        sdk_server.verify(GOOD_BODY, GOOD, stored)


def test_a_stored_key_of_another_kind_is_our_fault() -> None:
    stored = pem(ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(OursError, match="no RSA key"):
        sdk_server.verify(GOOD_BODY, GOOD, stored)


def test_an_openssl_without_md5_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class InFipsMode:
        def verify(self, *_: object) -> None:
            raise UnsupportedAlgorithm("MD5 is not supported by this backend for RSA signing.")

    monkeypatch.setattr(sdk_server, "_public_key", lambda _: InFipsMode())
    with pytest.raises(OursError, match="FIPS") as raised:
        sdk_server.verify(GOOD_BODY, GOOD, PUBLIC)
    assert raised.value.code == "InternalServerError"


def test_parsed_keys_are_kept_with_a_bound() -> None:
    sdk_server._public_key.cache_clear()
    for _ in range(3):
        assert sdk_server.verify(GOOD_BODY, GOOD, PUBLIC)
    kept = sdk_server._public_key.cache_info()
    assert (kept.hits, kept.misses) == (2, 1)
    assert kept.maxsize == 256
