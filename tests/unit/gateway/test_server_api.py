"""`/server`: what the official SDK sent, whom a backend acts for, and what is refused."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from runtime.errors import CallerError, UnavailableError
from runtime.messages import Principal, Source
from runtime.services import methods
from runtime.signatures import sdk_client
from tests.harness.trigger_gateway import ON, open_gateway
from tests.unit.gateway.sdk_stand import (
    BODY_MAX_BYTES,
    BROKEN,
    CAPTURED,
    CAPTURED_SPACE,
    KEYS,
    NOW_MS,
    PAUSED,
    SKEW_S,
    SPACE,
    SdkStand,
    body_of,
    open_stand,
    sign,
)

INVOKE = methods.INVOKE
PROFILE = methods.GET_PROFILE
DATABASE = methods.DATABASE


SIGNED = {"id", "ossPath", "host", "policy", "signature", "accessKeyId", "cdnDomain"}
"""What an upload form needs (server protocol §6)."""

UNSERVED = {
    INVOKE: "FunctionNotFound",
    methods.FILE_REPORT: "ParamInvalid",
    methods.FILE_DELETE: "ParamInvalid",
    methods.REDIS: "ServiceNotAvailable",
    "inner.method.billing.report": "ServiceNotAvailable",
}
"""What the SDK is told about files and functions that are not there, and services that nobody set up."""


@pytest.fixture
async def stand() -> AsyncIterator[SdkStand]:
    async with open_stand() as stand:
        yield stand


# --- what the official SDK sent ---------------------------------------------------------------------


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: case["case"])
async def test_captured_requests_reach_their_method(stand: SdkStand, case: dict[str, Any]) -> None:
    sent = json.loads(case["body"])
    params = json.loads(sent["params"])
    headers = {name.replace("-", "_"): value for name, value in case["headers"].items()}
    answer = await stand.post(case["body"].encode(), case["signature"], **headers)
    if sent["method"] == DATABASE:
        assert stand.documents.asked == [(CAPTURED_SPACE, params, None)]
        assert answer.body["data"] == {"affectedDocs": 1, "result": [{"_id": "a"}]}
    elif sent["method"] == PROFILE:
        assert answer.body["data"]["user"] == {"userId": "user-1", "spaceId": CAPTURED_SPACE}
    elif sent["method"] == INVOKE and params["functionTarget"] == "hello":
        job = stand.job
        assert json.loads(job.args) == params["functionArgs"]
        assert job.principal.user_id == case["headers"].get("x-basement-auth-uid")
        assert answer.body["data"] == {"ok": True}
    elif sent["method"] == methods.HTTP_REQUEST:
        [request] = stand.http.sent
        assert (request.url, request.method) == (params["url"], params["method"])
        assert request.body.decode() == params.get("body", "")
        assert answer.body["data"] == {"status": 201, "headers": {}, "data": "pong"}
    elif sent["method"] == methods.FILE_SIGN:
        assert set(answer.body["data"]) == SIGNED
    elif sent["method"] == methods.FILE_INFO:
        assert answer.body["data"] == []
    else:
        assert answer.code == UNSERVED[sent["method"]]
    assert answer.body["requestId"] == answer.headers["request-id"]
    assert "error" not in answer.body or answer.body["error"] is not None


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_captured_request_may_come_compressed(stand: SdkStand, encoding: str) -> None:
    body = CAPTURED[0]["body"].encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    answer = await stand.post(packed, CAPTURED[0]["signature"], content_encoding=encoding)
    assert answer.body["data"] == {"ok": True}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        # Spaces there have no public key.
        ("/server", "InternalServerError"),
        ("//server", "InternalServerError"),
        ("/client", "SignatureNotMatch"),
        ("//client", "SignatureNotMatch"),
    ],
)
async def test_addresses_of_an_endpoint(path: str, code: str) -> None:
    async with open_gateway() as gateway:
        body = json.dumps({"spaceId": ON}).encode()
        answer = await gateway.ask(path, method="POST", host="127.0.0.1", body=body)
        assert answer.status == 200
        assert json.loads(answer.body)["error"]["code"] == code
        refused = await gateway.ask(path, host="127.0.0.1")
        assert refused.status == 405


# --- whom a backend acts for ------------------------------------------------------------------------


async def test_an_invocation_is_the_backends_own(stand: SdkStand) -> None:
    await stand.ask({}, user_agent="node-urllib/2")
    job = stand.job
    assert (job.source, job.principal) == (Source.SERVER, Principal())
    assert job.function_env() == {"MP_SPACE_ID": SPACE, "MP_SOURCE": "server"}


@pytest.mark.parametrize(
    ("signed", "header", "user_id"),
    [
        ("user-7", None, "user-7"),
        (None, "uid-1", "uid-1"),
        ("user-7", "uid-1", "user-7"),
        ("", "uid-1", "uid-1"),
        ("", "", None),
        ("张三 @ex.com", None, "张三 @ex.com"),
        ("x" * 128, None, "x" * 128),
    ],
)
async def test_whom_a_backend_acts_for(
    stand: SdkStand, signed: str | None, header: str | None, user_id: str | None
) -> None:
    headers = {} if header is None else {"x_basement_auth_uid": header}
    assert (await stand.ask({"userId": signed}, **headers)).body["success"] is True
    assert stand.job.principal == Principal(user_id=user_id)
    params = json.dumps({"command": "find"})
    await stand.ask({"userId": signed, "method": DATABASE, "params": params}, **headers)
    assert stand.documents.asked == [(SPACE, {"command": "find"}, user_id)]
    answer = await stand.ask({"userId": signed, "method": PROFILE, "params": "{}"}, **headers)
    user = {"userId": user_id, "spaceId": SPACE}
    assert answer.body["data"] == ({"user": user, **user} if user_id else {"user": {}})


@pytest.mark.parametrize(
    "user_id", [5, True, ["u"], {"$ne": 1}, "x" * 129, "a\nb", "a\x00", "\ud800", "\u202e"]
)
async def test_what_is_no_user(stand: SdkStand, user_id: object) -> None:
    body = body_of({"userId": user_id})
    answer = await stand.post(json.dumps(body).encode(), sign(body))
    assert answer.code in {"InvalidParams.Format", "InvalidParameter.userId"}
    assert stand.queue.jobs == []


async def test_a_header_that_is_no_user(stand: SdkStand) -> None:
    answer = await stand.ask({}, x_basement_auth_uid="x" * 129)
    assert answer.code == "InvalidParameter.userId"


async def test_nobody_can_put_a_user_into_a_signed_body_or_change_it(stand: SdkStand) -> None:
    bare, for_user = body_of({}), body_of({"userId": "user-7"})
    for body, signature in (
        ({**bare, "userId": "user-8"}, sign(bare)),
        ({**for_user, "userId": "user-8"}, sign(for_user)),
        (bare, sign(for_user)),
    ):
        answer = await stand.post(json.dumps(body).encode(), signature)
        assert answer.code == "SignatureNotMatch"
    # Of two members with one name the last counts, for the signature, too.
    twice = json.dumps(for_user).encode()[:-1] + b',"userId":"user-8"}'
    assert (await stand.post(twice, sign(for_user))).code == "SignatureNotMatch"
    assert stand.queue.jobs == []


# --- what is refused --------------------------------------------------------------------------------


async def test_forged_signatures(stand: SdkStand) -> None:
    body = body_of({})
    raw = json.dumps(body).encode()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    longer = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    good = sign(body)
    for signature in (
        "",
        "0" * 512,
        "not hex",
        good.upper(),
        good[:-2],
        sign(body, other),
        sign(body, longer),
        sdk_client.sign(body, b"secret"),
        sign({**body, "spaceId": PAUSED}),
        CAPTURED[0]["signature"],
    ):
        answer = await stand.post(raw, signature)
        assert answer.code == "SignatureNotMatch", signature
        assert "server secret" in answer.message
        assert good not in answer.message
    answer = await stand.post(raw.replace(b'"a', b'"b'), good)
    assert answer.code == "SignatureNotMatch"
    assert stand.queue.jobs == []
    assert (await stand.post(raw, good)).body["success"] is True


async def test_the_two_addresses_do_not_take_each_others_signatures(stand: SdkStand) -> None:
    body = body_of({"method": methods.ANONYMOUS_AUTHORIZE, "params": "{}"})
    raw = json.dumps(body).encode()
    by_client, by_server = sdk_client.sign(body, b"secret"), sign(body)
    assert (await stand.post(raw, by_client, path="/client")).body["success"] is True
    answer = await stand.post(raw, by_server, path="/client")
    assert answer.code == "SignatureNotMatch"
    assert "client secret" in answer.message
    assert (await stand.post(raw, by_client)).code == "SignatureNotMatch"
    # A backend has its key; it needs no token and gets none.
    assert (await stand.post(raw, by_server)).code == "InvalidMethod.NotFound"


async def test_a_captured_client_space_still_answers_its_client(stand: SdkStand) -> None:
    body = body_of({"spaceId": CAPTURED_SPACE, "method": INVOKE})
    signature = sdk_client.sign(body, KEYS["clientSecret"].encode())
    answer = await stand.post(json.dumps(body).encode(), signature, path="/client")
    assert answer.code == "GATEWAY_INVALID_TOKEN"


HOSTILE = {
    "empty": (b"", "InvalidBody.Format"),
    "no json": (b"{", "InvalidBody.Format"),
    "not utf-8": (b'{"spaceId":"\xff"}', "InvalidBody.Format"),
    "utf-16": ('{"spaceId":"a"}'.encode("utf-16"), "InvalidBody.Format"),
    "an array": (b"[]", "InvalidBody.Format"),
    "a text": (b'"x"', "InvalidBody.Format"),
    "null": (b"null", "InvalidBody.Format"),
    "deep": (b"[" * 90_000, "InvalidBody.Format"),
    "NaN": (b'{"spaceId":NaN}', "InvalidBody.Format"),
    "too large": (b" " * (BODY_MAX_BYTES + 1), "RequestContentLength.Exceeded"),
    "no space": (b"{}", "MissingParams"),
    "space is a number": (b'{"spaceId":5}', "InvalidParams.Format"),
    "unknown space": (b'{"spaceId":"mp-none"}', "InvalidSpaceId.NotFound"),
    "long space": (b'{"spaceId":"' + b"x" * 90_000 + b'"}', "InvalidSpaceId.NotFound"),
    "surrogate": (b'{"spaceId":"\\ud800"}', "InvalidSpaceId.NotFound"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["/server", "/client"])
async def test_bodies_that_are_refused_before_any_signature(
    stand: SdkStand, name: str, path: str
) -> None:
    body, code = HOSTILE[name]
    answer = await stand.post(body, path=path)
    assert answer.code == code
    assert answer.message
    assert answer.body["requestId"] == answer.headers["request-id"]


GOOD = CAPTURED[0]["body"].encode()
PACKED = {
    "bomb": (gzip.compress(b" " * 50_000_000), "gzip", "RequestContentLength.Exceeded"),
    "cut": (gzip.compress(GOOD)[:-9], "gzip", "InvalidBody.Format"),
    "longer": (gzip.compress(GOOD) + b"x", "gzip", "InvalidBody.Format"),
    "two": (gzip.compress(GOOD) * 2, "gzip", "InvalidBody.Format"),
    "not packed": (GOOD, "gzip", "InvalidBody.Format"),
    "unknown": (GOOD, "br", "InvalidBody.Format"),
    "list": (gzip.compress(gzip.compress(GOOD)), "gzip, gzip", "InvalidBody.Format"),
}


@pytest.mark.parametrize("name", PACKED)
async def test_compressed_bodies_that_are_refused(stand: SdkStand, name: str) -> None:
    body, encoding, code = PACKED[name]
    answer = await stand.post(body, CAPTURED[0]["signature"], content_encoding=encoding)
    assert answer.code == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": None}, "MissingMethod"),
        ({"method": 5}, "InvalidMethod.Format"),
        ({"method": ["x"]}, "InvalidMethod.Format"),
        ({"method": "no.such.method"}, "InvalidMethod.NotFound"),
        ({"method": "x" * 50_000}, "InvalidMethod.NotFound"),
        ({"method": methods.AUTHORIZE}, "InvalidMethod.NotFound"),
        ({"method": methods.HTTP_REQUEST}, "InvalidParameter.url"),
        ({"method": "inner.method.billing.report"}, "ServiceNotAvailable"),
        ({"method": "serverless.redis.cli"}, "ServiceNotAvailable"),
        ({"params": None}, "InvalidParameter.functionTarget"),
        ({"params": 5}, "InvalidParams.Format"),
        ({"params": {"functionTarget": "hello"}}, "InvalidParams.Format"),
        ({"params": "{"}, "InvalidParams.Format"),
        ({"params": "[]"}, "InvalidParams.Format"),
        ({"params": "[" * 50_000}, "InvalidParams.Format"),
        ({"params": '{"functionTarget":5}'}, "InvalidParameter.functionTarget"),
        ({"params": '{"functionTarget":"nobody"}'}, "FunctionNotFound"),
        ({"method": PROFILE, "params": "{"}, "InvalidParams.Format"),
        ({"method": DATABASE, "params": "5"}, "InvalidParams.Format"),
        ({"timestamp": None}, "MissingParams"),
        ({"timestamp": "1600000002000"}, "MissingParams"),
        ({"timestamp": True}, "MissingParams"),
        ({"timestamp": 0}, "InvalidParameter.timestamp"),
        ({"timestamp": NOW_MS - SKEW_S * 1000 - 1}, "InvalidParameter.timestamp"),
        ({"timestamp": NOW_MS + SKEW_S * 1000 + 1}, "InvalidParameter.timestamp"),
        ({"timestamp": 1e300}, "InvalidParameter.timestamp"),
        ({"spaceId": PAUSED}, "InvalidSpace.NotInService"),
        ({"spaceId": PAUSED, "method": DATABASE, "params": "{}"}, "InvalidSpace.NotInService"),
        ({"spaceId": PAUSED, "method": PROFILE}, "InvalidSpace.NotInService"),
        ({"spaceId": PAUSED, "method": None}, "InvalidSpace.NotInService"),
    ],
)
async def test_signed_requests_that_are_refused(
    stand: SdkStand, fields: dict[str, Any], code: str
) -> None:
    answer = await stand.ask(fields)
    assert answer.code == code
    assert len(answer.message) < 1000
    assert (stand.queue.jobs, stand.documents.asked) == ([], [])


@pytest.mark.parametrize("off_s", [-SKEW_S, 0, SKEW_S])
async def test_a_clock_may_be_wrong_by_so_much(stand: SdkStand, off_s: int) -> None:
    assert (await stand.ask({"timestamp": NOW_MS + off_s * 1000})).body["success"] is True


async def test_a_paused_space_says_so_to_its_owner_only(stand: SdkStand) -> None:
    body = body_of({"spaceId": PAUSED})
    answer = await stand.post(json.dumps(body).encode(), "0" * 512)
    assert answer.code == "SignatureNotMatch"


async def test_a_broken_stored_key_is_our_fault_and_tells_nothing(stand: SdkStand) -> None:
    answer = await stand.ask({"spaceId": BROKEN})
    assert answer.code == "InternalServerError"
    assert "key" not in answer.message
    assert answer.headers["request-id"] in answer.message


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (CallerError("11000", "E11000 duplicate key"), "11000", "E11000 duplicate key"),
        (UnavailableError("mongodb://inner:27017 is away"), "InternalServerError", None),
        (RuntimeError("secret detail"), "InternalServerError", None),
    ],
)
async def test_errors_of_the_database(
    stand: SdkStand, error: Exception, code: str, told: str | None
) -> None:
    stand.documents.error = error
    answer = await stand.ask({"method": DATABASE, "params": "{}"})
    assert answer.code == code
    if told is None:
        assert "inner" not in answer.message
        assert "secret" not in answer.message
        assert answer.headers["request-id"] in answer.message
    else:
        assert answer.message == told
