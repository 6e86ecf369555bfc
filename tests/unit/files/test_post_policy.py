"""Signed forms of uploads: what is believed of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InvalidParameterError
from runtime.files.post_policy import (
    ACCESS_KEY_ID,
    POLICY_MAX,
    PostPolicy,
    open_policy,
    sign_policy,
)
from runtime.files.refusals import SignatureRefusedError

KEY = b"k" * 32
NOW_MS = 1_700_000_000_000
POLICY = PostPolicy(
    upload_id="0f" * 16,
    space_id="mp-1",
    path="相册/a b.png",
    owner_id="ann",
    trusted=False,
    max_bytes=1000,
    expires_ms=NOW_MS + 600_000,
)


def fields_of(policy: PostPolicy, **changed: str) -> dict[str, str]:
    signed = sign_policy(KEY, policy)
    return {
        "key": policy.key,
        "policy": signed.policy,
        "signature": signed.signature,
        "ossaccesskeyid": ACCESS_KEY_ID,
    } | changed


def forged(text: str, key: bytes = KEY) -> dict[str, str]:
    """A form whose policy is this text, under a signature that fits `key`."""
    encoded = base64.b64encode(text.encode()).decode()
    mac = hmac.new(key, encoded.encode(), hashlib.sha256).digest()
    return fields_of(POLICY) | {"policy": encoded, "signature": base64.b64encode(mac).decode()}


def test_what_was_signed_comes_back() -> None:
    assert open_policy(KEY, fields_of(POLICY), now_ms=NOW_MS) == POLICY


@given(
    path=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    owner=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    trusted=st.booleans(),
)
def test_any_path_and_owner_come_back(path: str, owner: str | None, trusted: bool) -> None:
    policy = replace(POLICY, path=path, owner_id=owner, trusted=trusted)
    assert open_policy(KEY, fields_of(policy), now_ms=NOW_MS) == policy


def test_the_longest_path_fits() -> None:
    policy = replace(POLICY, path='"' * 1023, owner_id="u" * 128)
    assert len(sign_policy(KEY, policy).policy) < POLICY_MAX
    assert open_policy(KEY, fields_of(policy), now_ms=NOW_MS) == policy


def test_the_policy_has_the_shape_of_the_object_store() -> None:
    document = json.loads(base64.b64decode(sign_policy(KEY, POLICY).policy))
    assert document["expiration"] == "2023-11-14T22:23:20.000Z"
    assert document["conditions"] == [
        ["eq", "$key", "mp-1/相册/a%20b.png"],
        ["content-length-range", 0, 1000],
    ]


@pytest.mark.parametrize("name", ["key", "policy", "signature", "ossaccesskeyid"])
def test_a_missing_field_is_named(name: str) -> None:
    fields = fields_of(POLICY)
    del fields[name]
    with pytest.raises(InvalidParameterError, match=f"(?i)no field {name}") as caught:
        open_policy(KEY, fields, now_ms=NOW_MS)
    assert caught.value.code == "ParamInvalid"


@pytest.mark.parametrize("name", ["key", "policy", "signature", "ossaccesskeyid"])
@pytest.mark.parametrize(
    "change", [lambda text: text + "=", lambda text: text[:-1], str.swapcase, lambda _: "\udcff"]
)
def test_no_field_may_be_changed(name: str, change: Callable[[str], str]) -> None:
    fields = fields_of(POLICY)
    fields[name] = change(fields[name])
    with pytest.raises(SignatureRefusedError) as caught:
        open_policy(KEY, fields, now_ms=NOW_MS)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_a_policy_of_another_installation_is_refused() -> None:
    with pytest.raises(SignatureRefusedError):
        open_policy(b"o" * 32, fields_of(POLICY), now_ms=NOW_MS)


def test_it_holds_until_its_last_millisecond() -> None:
    fields = fields_of(POLICY)
    open_policy(KEY, fields, now_ms=POLICY.expires_ms - 1)
    with pytest.raises(SignatureRefusedError, match="expired"):
        open_policy(KEY, fields, now_ms=POLICY.expires_ms)


@pytest.mark.parametrize(
    "text",
    ["x", "[]", "{}", '{"grant":[]}', '{"grant":{"upload":1}}', '{"grant":null}', "[" * 2000],
)
def test_a_signed_text_of_another_version_is_refused(text: str) -> None:
    with pytest.raises(SignatureRefusedError):
        open_policy(KEY, forged(text), now_ms=NOW_MS)


def test_a_policy_beyond_all_bounds_is_not_even_signed_against() -> None:
    with pytest.raises(SignatureRefusedError):
        open_policy(KEY, forged("x" * POLICY_MAX), now_ms=NOW_MS)
