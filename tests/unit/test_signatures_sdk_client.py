"""The signature of `/client` bodies against what the official SDK sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.signatures import sdk_client
from tests.unit.signature_forgeries import changed_by_a_character, with_other_fields

FIXTURES = Path(__file__).parent.parent / "fixtures"
SECRET = json.loads((FIXTURES / "keys.json").read_text())["clientSecret"].encode()
CASES: list[dict[str, Any]] = json.loads((FIXTURES / "signatures_sdk_client.json").read_text())
GOOD = [case for case in CASES if case["verifies"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_captured_requests(case: dict[str, Any]) -> None:
    body = json.loads(case["body"])
    assert sdk_client.verify(body, case["signature"], SECRET) is case["verifies"]
    assert sdk_client.string_to_sign(body).decode() == case["stringToSign"]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["case"])
def test_any_changed_character_of_any_field_is_refused(case: dict[str, Any]) -> None:
    for forged in changed_by_a_character(json.loads(case["body"])):
        assert not sdk_client.verify(forged, case["signature"], SECRET), forged


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["case"])
def test_no_field_can_be_taken_away_or_added(case: dict[str, Any]) -> None:
    for forged in with_other_fields(json.loads(case["body"])):
        assert not sdk_client.verify(forged, case["signature"], SECRET), forged


def test_values_that_javascript_calls_falsy_are_not_signed() -> None:
    body = {"method": "m", "token": "", "userId": None, "timestamp": 0, "flag": False}
    assert sdk_client.string_to_sign(body) == b"method=m"


def test_numbers_are_signed_as_javascript_writes_them() -> None:
    assert sdk_client.string_to_sign({"a": 1600000000000.0, "b": 1.5, "c": 7}) == (
        b"a=1600000000000&b=1.5&c=7"
    )


def test_what_sign_makes_verify_takes_with_the_same_secret_only() -> None:
    body = {"spaceId": "mp-1", "method": "m", "params": '{"k":"世界&=%+"}', "timestamp": 1}
    signature = sdk_client.sign(body, b"secret")
    assert sdk_client.verify(body, signature, b"secret")
    assert not sdk_client.verify(body, signature, b"Secret")
    assert not sdk_client.verify(body, signature.upper(), b"secret")


@pytest.mark.parametrize("signature", ["", "é" * 32, "\ud800", "0" * 32])
def test_nonsense_as_signature_is_refused_without_an_exception(signature: str) -> None:
    assert not sdk_client.verify({"method": "m"}, signature, b"secret")


def test_a_text_cut_in_the_middle_of_an_emoji_does_not_raise() -> None:
    assert sdk_client.sign({"params": "\ud83d"}, b"secret")
