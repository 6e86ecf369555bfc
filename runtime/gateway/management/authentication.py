"""Who sent a management request, and which action it asks for: both schemes (spec: §1 and §2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runtime.errors import CallerError, InvalidParameterError, NotFoundError
from runtime.gateway.management.forms import FORM_TYPE, parse_form, union
from runtime.gateway.management.nonces import NONCE_MAX_CHARACTERS, NonceWindow
from runtime.ports import Clock
from runtime.signatures import acs3, rpc_v1

_ECHO_MAX_CHARACTERS = 4096
"""A longer string to sign is not repeated in the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """A request as it came: header names in lower case, the query not decoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A verified request."""

    action: str
    parameters: Mapping[str, str] = field(repr=False)
    access_key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a request says of itself before it is verified."""

    action: str
    version: str
    date: str
    nonce: str
    access_key_id: str
    parameters: Mapping[str, str]


class Authenticator:
    """Verifies signature, age and nonce, in this order."""

    def __init__(
        self, *, access_keys: Mapping[str, str], clock: Clock, skew_s: int, nonces_max: int
    ) -> None:
        self._access_keys = access_keys
        self._clock = clock
        self._skew_s = skew_s
        # A request dated skew_s ahead is accepted until 2 * skew_s from now.
        self._nonces = NonceWindow(clock=clock, keep_s=2 * skew_s, max_nonces=nonces_max)

    def authenticate(self, request: RawRequest) -> Call:
        """Raises CallerError with the codes that clients of this API know (§3)."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            claim = self._verify_rpc_v1(request)
        else:
            claim = self._verify_acs3(request, authorization)
        self._check_date(claim.date)
        if len(claim.nonce) > NONCE_MAX_CHARACTERS:
            raise InvalidParameterError(
                "SignatureNonce", f"a nonce has at most {NONCE_MAX_CHARACTERS} characters"
            )
        self._nonces.use(claim.access_key_id, claim.nonce)
        if claim.version != rpc_v1.API_VERSION:
            raise CallerError("InvalidVersion", f"the version of this API is {rpc_v1.API_VERSION}")
        return Call(
            action=claim.action, parameters=claim.parameters, access_key_id=claim.access_key_id
        )

    def _verify_rpc_v1(self, request: RawRequest) -> _Claim:
        parameters = _all_parameters(request)
        claim = _Claim(
            access_key_id=_needed(parameters, "AccessKeyId"),
            action=_needed(parameters, "Action"),
            version=_needed(parameters, "Version"),
            date=_needed(parameters, "Timestamp"),
            nonce=_needed(parameters, "SignatureNonce"),
            parameters=parameters,
        )
        _needed(parameters, rpc_v1.SIGNATURE)
        _expect(parameters, "SignatureMethod", "HMAC-SHA1")
        _expect(parameters, "SignatureVersion", "1.0")
        _expect(parameters, "Format", "JSON")
        secret = self._secret(claim.access_key_id)
        if not rpc_v1.verify(request.method, parameters, secret):
            raise _mismatch(rpc_v1.string_to_sign(request.method, parameters))
        return claim

    def _verify_acs3(self, request: RawRequest, header: str) -> _Claim:
        authorization = acs3.parse_authorization(header)
        if authorization is None:
            raise InvalidParameterError(
                "Authorization",
                f"the Authorization header is not of the form {acs3.ALGORITHM}"
                " Credential=...,SignedHeaders=...,Signature=...",
            )
        unsigned = acs3.unsigned_headers(authorization)
        if unsigned:
            raise CallerError(
                "SignatureDoesNotMatch", f"these headers must be signed too: {', '.join(unsigned)}"
            )
        query = parse_form(request.query, part="query")
        signed = acs3.SignedRequest(
            method=request.method,
            path=request.path,
            query=query,
            headers=request.headers,
            body=request.body,
        )
        secret = self._secret(authorization.access_key_id)
        if not acs3.verify(signed, authorization, secret):
            raise _mismatch(acs3.canonical_request(signed, authorization.signed_headers))
        return _Claim(
            access_key_id=authorization.access_key_id,
            action=_needed(request.headers, "x-acs-action"),
            version=_needed(request.headers, "x-acs-version"),
            date=_needed(request.headers, "x-acs-date"),
            nonce=_needed(request.headers, "x-acs-signature-nonce"),
            parameters=_all_parameters(request),
        )

    def _secret(self, access_key_id: str) -> str:
        secret = self._access_keys.get(access_key_id)
        if secret is None:
            raise NotFoundError(
                "InvalidAccessKeyId.NotFound", f"there is no access key {access_key_id[:64]}"
            )
        return secret

    def _check_date(self, text: str) -> None:
        try:
            sent = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise CallerError(
                "InvalidTimeStamp.Format", "the date of a request is written YYYY-MM-DDTHH:mm:ssZ"
            ) from None
        if abs(sent.timestamp() - self._clock.now_ms() / 1000) > self._skew_s:
            raise CallerError(
                "InvalidTimeStamp.Expired",
                f"{text} differs by more than {self._skew_s} s from our clock;"
                " set the clock, or sign the request anew",
            )


def _all_parameters(request: RawRequest) -> dict[str, str]:
    """Query and body together."""
    content_type = request.headers.get("content-type", FORM_TYPE).partition(";")[0].strip().lower()
    if request.body and content_type != FORM_TYPE:
        raise CallerError(
            "InvalidRequestContentType", f"the body of a request is {FORM_TYPE} or empty"
        )
    query = parse_form(request.query, part="query")
    return union(query, parse_form(request.body, part="body"))


def _needed(values: Mapping[str, str], name: str) -> str:
    value = values.get(name)
    if not value:
        raise InvalidParameterError(name, f"{name} is missing", code=f"Missing{name}")
    return value


def _expect(parameters: Mapping[str, str], name: str, only: str) -> None:
    """A parameter that has one value here; absent counts as that."""
    if parameters.get(name, only).upper() != only:
        raise InvalidParameterError(name, f"{name} can only be {only}")


def _mismatch(string_to_sign: str) -> CallerError:
    message = "Specified signature is not matched with our calculation."
    if len(string_to_sign) <= _ECHO_MAX_CHARACTERS:
        message += f" server string to sign is:{string_to_sign}"
    return CallerError("SignatureDoesNotMatch", message)
