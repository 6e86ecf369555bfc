"""Who sent a request: both schemes, their traps, age and nonces. Captured requests included."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from runtime.errors import CallerError, OverloadedError
from runtime.gateway.management.authentication import Authenticator, RawRequest
from tests.unit.management_support import load_fixture
from tests.unit.signed_requests import (
    ACCESS_KEY,
    NOW_MS,
    ManualClock,
    SignedRequest,
    acs3_request,
    rpc_v1_request,
)

KEYS = load_fixture("keys.json")
HOST = "127.0.0.1:8700"
CAPTURED: list[dict[str, Any]] = load_fixture("signatures_rpc_v1.json") + load_fixture(
    "signatures_acs3.json"
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def authenticator(clock: ManualClock) -> Authenticator:
    return Authenticator(access_keys=dict([ACCESS_KEY]), clock=clock, skew_s=900, nonces_max=100)


def raw(request: SignedRequest, **headers: str) -> RawRequest:
    lower = {name.lower(): value for name, value in request.headers.items()}
    return RawRequest(
        method=request.method,
        path="/",
        query=request.query,
        headers={"host": HOST, **lower, **headers},
        body=request.body,
    )


def both(parameters: dict[str, str], **options: Any) -> list[RawRequest]:
    return [
        raw(rpc_v1_request("ListSpace", parameters, **options)),
        raw(rpc_v1_request("ListSpace", parameters, method="GET", **options)),
        raw(acs3_request(HOST, "ListSpace", parameters, **options)),
    ]


def code_of(authenticator: Authenticator, request: RawRequest) -> str:
    with pytest.raises(CallerError) as caught:
        authenticator.authenticate(request)
    return caught.value.code


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: f"{case['sdk'][:12]} {case['case']}")
def test_captured_requests(case: dict[str, Any], clock: ManualClock) -> None:
    clock.time_ms = int(datetime(2026, 11, 21, 2, 11, 44, tzinfo=UTC).timestamp() * 1000)
    authenticator = Authenticator(
        access_keys={KEYS["accessKeyId"]: KEYS["accessKeySecret"]},
        clock=clock,
        skew_s=900,
        nonces_max=100,
    )
    url = urlsplit(case["url"])
    request = RawRequest(
        method=case["method"],
        path=url.path,
        query=url.query,
        headers=case["headers"],
        body=case["body"].encode(),
    )
    if not case["verifies"]:
        assert code_of(authenticator, request) == "SignatureDoesNotMatch"
        return
    call = authenticator.authenticate(request)
    assert call.access_key_id == KEYS["accessKeyId"]
    assert call.action == case["headers"]["x-acs-action"]
    sent = parse_qs(url.query, keep_blank_values=True) | parse_qs(
        case["body"], keep_blank_values=True
    )
    assert dict(call.parameters) == {name: values[0] for name, values in sent.items()}
    assert code_of(authenticator, request) == "SignatureNonceUsed"


def test_parameters_of_all_forms_arrive(authenticator: Authenticator) -> None:
    own = {"Name": "a b+c&d=世界", "Empty": ""}
    for request in both(own):
        call = authenticator.authenticate(request)
        assert call.action == "ListSpace"
        assert {name: call.parameters[name] for name in own} == own


def test_common_parameters_in_the_query_and_own_ones_in_the_body(
    authenticator: Authenticator,
) -> None:
    request = raw(rpc_v1_request("ListSpace", {"Name": "x"}, split=True))
    assert "AccessKeyId" in request.query
    assert request.body == b"Name=x"
    assert authenticator.authenticate(request).parameters["Name"] == "x"
    mixed = raw(acs3_request(HOST, "ListFile", {"PageSize": "5"}, query={"NextToken": "n 1"}))
    parameters = authenticator.authenticate(mixed).parameters
    assert dict(parameters) == {"PageSize": "5", "NextToken": "n 1"}


def test_wrong_secret_and_unknown_key(authenticator: Authenticator) -> None:
    for request in both({}, key=(ACCESS_KEY[0], "wrong")):
        assert code_of(authenticator, request) == "SignatureDoesNotMatch"
    for request in both({}, key=("nobody", ACCESS_KEY[1])):
        assert code_of(authenticator, request) == "InvalidAccessKeyId.NotFound"


def test_a_mismatch_names_the_string_to_sign_unless_it_is_long(
    authenticator: Authenticator,
) -> None:
    short = raw(rpc_v1_request("ListSpace", {}, key=(ACCESS_KEY[0], "wrong")))
    with pytest.raises(CallerError, match="string to sign is:POST&%2F&AccessKeyId"):
        authenticator.authenticate(short)
    long = raw(rpc_v1_request("ListSpace", {"X": "x" * 5000}, key=(ACCESS_KEY[0], "wrong")))
    with pytest.raises(CallerError) as caught:
        authenticator.authenticate(long)
    assert len(caught.value.message) < 100


@pytest.mark.parametrize("drift_s", [-900, 900])
def test_a_clock_may_differ_by_the_window(authenticator: Authenticator, drift_s: int) -> None:
    exact_ms = NOW_MS - NOW_MS % 1000 + drift_s * 1000 + (1000 if drift_s < 0 else 0)
    for request in both({}, now_ms=exact_ms):
        authenticator.authenticate(request)


@pytest.mark.parametrize("drift_s", [-901, 902])
def test_a_clock_that_differs_by_more_is_refused(
    authenticator: Authenticator, drift_s: int
) -> None:
    for request in both({}, now_ms=NOW_MS + drift_s * 1000):
        assert code_of(authenticator, request) == "InvalidTimeStamp.Expired"


def test_a_replayed_request_is_refused_as_long_as_it_could_be_accepted(
    authenticator: Authenticator, clock: ManualClock
) -> None:
    requests = both({}, now_ms=NOW_MS + 890_000)
    for request in requests:
        authenticator.authenticate(request)
        assert code_of(authenticator, request) == "SignatureNonceUsed"
    clock.advance(1780)  # 890 s after the requests' own date
    for request in requests:
        assert code_of(authenticator, request) == "SignatureNonceUsed"
    clock.advance(20)
    for request in requests:
        assert code_of(authenticator, request) == "InvalidTimeStamp.Expired"


def test_a_request_that_is_not_verified_uses_no_nonce(authenticator: Authenticator) -> None:
    forged = raw(rpc_v1_request("ListSpace", {}, nonce="n1", key=(ACCESS_KEY[0], "wrong")))
    assert code_of(authenticator, forged) == "SignatureDoesNotMatch"
    late = raw(rpc_v1_request("ListSpace", {}, nonce="n1", now_ms=NOW_MS - 3_600_000))
    assert code_of(authenticator, late) == "InvalidTimeStamp.Expired"
    authenticator.authenticate(raw(rpc_v1_request("ListSpace", {}, nonce="n1")))


def test_a_full_nonce_window_is_our_overload(clock: ManualClock) -> None:
    authenticator = Authenticator(
        access_keys=dict([ACCESS_KEY]), clock=clock, skew_s=900, nonces_max=1
    )
    authenticator.authenticate(raw(rpc_v1_request("ListSpace", {})))
    with pytest.raises(OverloadedError):
        authenticator.authenticate(raw(rpc_v1_request("ListSpace", {})))


@pytest.mark.parametrize("length", [128, 129])
def test_the_longest_nonce(authenticator: Authenticator, length: int) -> None:
    for number, request in enumerate(both({}, nonce="n" * (length - 1) + str(length % 10))):
        if length > 128:
            assert code_of(authenticator, request) == "InvalidParameter.SignatureNonce"
        elif number == 0:
            authenticator.authenticate(request)


@pytest.mark.parametrize(
    "name", ["AccessKeyId", "Action", "Version", "Timestamp", "SignatureNonce", "Signature"]
)
def test_scheme_a_without_a_common_parameter(authenticator: Authenticator, name: str) -> None:
    request = raw(rpc_v1_request("ListSpace", {}))
    fields = parse_qs(request.body.decode(), keep_blank_values=True)
    body = urlencode({key: values[0] for key, values in fields.items() if key != name})
    assert code_of(authenticator, replace(request, body=body.encode())) == f"Missing{name}"


def test_a_bare_request_is_told_what_is_missing(authenticator: Authenticator) -> None:
    bare = RawRequest(method="GET", path="/", query="", headers={"host": HOST}, body=b"")
    assert code_of(authenticator, bare) == "MissingAccessKeyId"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"SignatureMethod": "HMAC-SHA256"}, "InvalidParameter.SignatureMethod"),
        ({"SignatureVersion": "2.0"}, "InvalidParameter.SignatureVersion"),
        ({"Format": "XML"}, "InvalidParameter.Format"),
    ],
)
def test_what_scheme_a_does_not_offer(
    authenticator: Authenticator, change: dict[str, str], code: str
) -> None:
    request = raw(rpc_v1_request("ListSpace", {}))
    fields = {key: values[0] for key, values in parse_qs(request.body.decode()).items()}
    body = urlencode(fields | change).encode()
    assert code_of(authenticator, replace(request, body=body)) == code


@pytest.mark.parametrize(
    "header", ["Basic dXNlcg==", "ACS3-RSA-SHA256 Credential=a,SignedHeaders=host,Signature=00", ""]
)
def test_an_unknown_authorization_header(authenticator: Authenticator, header: str) -> None:
    request = raw(rpc_v1_request("ListSpace", {}), authorization=header)
    assert code_of(authenticator, request) == "InvalidParameter.Authorization"


@pytest.mark.parametrize("name", ["x-acs-action", "x-acs-signature-nonce", "host"])
def test_scheme_b_with_an_unsigned_header(authenticator: Authenticator, name: str) -> None:
    request = raw(acs3_request(HOST, "ListSpace", {}))
    header = request.headers["authorization"].replace(f"{name};", "")
    forged = replace(request, headers={**request.headers, "authorization": header})
    with pytest.raises(CallerError, match=name) as caught:
        authenticator.authenticate(forged)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_a_body_that_is_no_form_is_refused(authenticator: Authenticator) -> None:
    for request in (rpc_v1_request("ListSpace", {"X": "1"}), acs3_request(HOST, "A", {"X": "1"})):
        wrong = raw(request, **{"content-type": "application/json"})
        expected = "InvalidRequestContentType"
        if "authorization" in wrong.headers:  # there the content type is signed
            expected = "SignatureDoesNotMatch"
        assert code_of(authenticator, wrong) == expected
    charset = raw(
        rpc_v1_request("ListSpace", {"X": "1"}),
        **{"content-type": "application/x-www-form-urlencoded; charset=UTF-8"},
    )
    authenticator.authenticate(charset)


@pytest.mark.parametrize("extra", [b"&Action=DeleteSpace", b"&x", b"&y=%ff", b"&&z=1"])
def test_a_malformed_or_doubled_form_is_refused(authenticator: Authenticator, extra: bytes) -> None:
    request = raw(rpc_v1_request("ListSpace", {}))
    code = code_of(authenticator, replace(request, body=request.body + extra))
    assert code in {"InvalidBody.Format", "InvalidParameter.Repeated"}


def test_a_parameter_in_query_and_body_is_refused(authenticator: Authenticator) -> None:
    request = raw(rpc_v1_request("ListSpace", {}))
    doubled = replace(request, query="Action=DeleteSpace")
    assert code_of(authenticator, doubled) == "InvalidParameter.Repeated"


def test_keys_and_parameters_are_not_in_a_repr(authenticator: Authenticator) -> None:
    call = authenticator.authenticate(raw(rpc_v1_request("ListSpace", {"Secret": "hidden"})))
    assert "hidden" not in repr(call)
    assert ACCESS_KEY[1] not in repr(authenticator)
