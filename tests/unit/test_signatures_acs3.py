"""Scheme B of the management API against what the Python package sent."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from runtime.signatures import acs3

FIXTURES = Path(__file__).parent.parent / "fixtures"
SECRET: str = json.loads((FIXTURES / "keys.json").read_text())["accessKeySecret"]
CASES: list[dict[str, Any]] = json.loads((FIXTURES / "signatures_acs3.json").read_text())
GOOD = [case for case in CASES if case["verifies"]]


def request_of(case: dict[str, Any]) -> acs3.SignedRequest:
    url = urlsplit(case["url"])
    return acs3.SignedRequest(
        method=case["method"],
        path=url.path,
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers=case["headers"],
        body=case["body"].encode(),
    )


def authorization_of(case: dict[str, Any]) -> acs3.Authorization:
    authorization = acs3.parse_authorization(case["headers"]["authorization"])
    assert authorization is not None
    return authorization


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_captured_requests(case: dict[str, Any]) -> None:
    request, authorization = request_of(case), authorization_of(case)
    assert acs3.verify(request, authorization, SECRET) is case["verifies"]
    canonical = acs3.canonical_request(request, authorization.signed_headers)
    assert canonical == case["stringToSign"]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["case"])
def test_any_changed_byte_of_the_body_is_refused_even_with_its_own_hash(
    case: dict[str, Any],
) -> None:
    request, authorization = request_of(case), authorization_of(case)
    for place in range(len(request.body)):
        body = bytearray(request.body)
        body[place] ^= 1
        forged = replace(request, body=bytes(body))
        assert not acs3.verify(forged, authorization, SECRET), place
        rehashed = {
            **request.headers,
            "x-acs-content-sha256": hashlib.sha256(bytes(body)).hexdigest(),
        }
        assert not acs3.verify(replace(forged, headers=rehashed), authorization, SECRET), place


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["case"])
def test_any_changed_signed_header_query_method_or_path_is_refused(case: dict[str, Any]) -> None:
    request, authorization = request_of(case), authorization_of(case)
    for name in authorization.signed_headers:
        headers = {**request.headers, name: request.headers[name] + "x"}
        assert not acs3.verify(replace(request, headers=headers), authorization, SECRET), name
    query = {**request.query, "SpaceId": "mp-2"}
    assert not acs3.verify(replace(request, query=query), authorization, SECRET)
    assert not acs3.verify(replace(request, method="GET"), authorization, SECRET)
    assert not acs3.verify(replace(request, path="/client"), authorization, SECRET)


@pytest.mark.parametrize("name", acs3.REQUIRED_HEADERS)
def test_a_header_that_we_act_on_must_be_signed(name: str) -> None:
    case = GOOD[0]
    request = request_of(case)
    fewer = tuple(header for header in authorization_of(case).signed_headers if header != name)
    authorization = acs3.Authorization(
        access_key_id="compatAccessKeyId",
        signed_headers=fewer,
        signature=acs3.sign(request, fewer, SECRET),
    )
    assert acs3.unsigned_headers(authorization) == [name]
    assert not acs3.verify(request, authorization, SECRET)


def test_the_signature_may_be_in_capitals_and_the_secret_not_another() -> None:
    case = GOOD[0]
    authorization = authorization_of(case)
    capitals = replace(authorization, signature=authorization.signature.upper())
    assert acs3.verify(request_of(case), capitals, SECRET)
    assert not acs3.verify(request_of(case), authorization, SECRET + "x")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic dXNlcjpwYXNz",
        "ACS3-RSA-SHA256 Credential=a,SignedHeaders=host,Signature=00",
        "ACS3-HMAC-SHA256 Credential=,SignedHeaders=host,Signature=00",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=zz",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=00,More=1",
    ],
)
def test_a_malformed_authorization_header_is_none(header: str) -> None:
    assert acs3.parse_authorization(header) is None
