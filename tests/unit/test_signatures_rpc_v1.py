"""Scheme A of the management API against what pop-core sent."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from runtime.signatures import rpc_v1

FIXTURES = Path(__file__).parent.parent / "fixtures"
SECRET: str = json.loads((FIXTURES / "keys.json").read_text())["accessKeySecret"]
CASES: list[dict[str, Any]] = json.loads((FIXTURES / "signatures_rpc_v1.json").read_text())
GOOD = [case for case in CASES if case["verifies"]]


def parameters_of(case: dict[str, Any]) -> dict[str, str]:
    query = urlsplit(case["url"]).query
    return dict(parse_qsl(query, keep_blank_values=True)) | dict(
        parse_qsl(case["body"], keep_blank_values=True)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_captured_requests(case: dict[str, Any]) -> None:
    parameters = parameters_of(case)
    assert rpc_v1.verify(case["method"], parameters, SECRET) is case["verifies"]
    assert rpc_v1.string_to_sign(case["method"], parameters) == case["stringToSign"]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["case"])
def test_any_changed_character_of_any_parameter_is_refused(case: dict[str, Any]) -> None:
    parameters = parameters_of(case)
    for name, value in parameters.items():
        for place, character in enumerate(value):
            other = "1" if character != "1" else "2"
            forged = {**parameters, name: value[:place] + other + value[place + 1 :]}
            assert not rpc_v1.verify(case["method"], forged, SECRET), (name, place)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["case"])
def test_another_method_a_missing_or_an_added_parameter_is_refused(case: dict[str, Any]) -> None:
    parameters = parameters_of(case)
    other_method = "GET" if case["method"] == "POST" else "POST"
    assert not rpc_v1.verify(other_method, parameters, SECRET)
    assert not rpc_v1.verify(case["method"], {**parameters, "Added": "1"}, SECRET)
    for name in parameters:
        fewer = {key: value for key, value in parameters.items() if key != name}
        assert not rpc_v1.verify(case["method"], fewer, SECRET)


def test_reserved_characters_are_encoded_and_the_tilde_is_not() -> None:
    assert rpc_v1.percent_encode("a b!'()*~-_.&=+/%世") == (
        "a%20b%21%27%28%29%2A~-_.%26%3D%2B%2F%25%E4%B8%96"
    )


def test_names_are_sorted_before_they_are_encoded() -> None:
    # encoded, "%C3..." would come before "a"; as text it comes after
    assert rpc_v1.canonical_query({"é": "1", "a": "2", "a.1": "3"}) == "a=2&a.1=3&%C3%A9=1"


def test_signed_parameters_are_complete_and_verify() -> None:
    signed = rpc_v1.signed_parameters(
        "POST",
        "ListSpace",
        {"PageNum": "1"},
        access_key_id="key",
        secret="hidden",
        now=datetime(2026, 11, 21, 2, 11, 44, tzinfo=UTC),
        nonce="n1",
    )
    assert signed["Timestamp"] == "2026-11-21T02:11:44Z"
    assert signed["Action"] == "ListSpace"
    assert rpc_v1.verify("POST", signed, "hidden")
    assert not rpc_v1.verify("POST", signed, "Hidden")
    assert not rpc_v1.verify("POST", {**signed, "Signature": "é"}, "hidden")
