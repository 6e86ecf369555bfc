"""Scheme A of the management API: RPC signature 1.0, HMAC-SHA1 (spec: management API §1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

SIGNATURE = "Signature"
API_VERSION = "2019-06-15"


def percent_encode(text: str) -> str:
    """RFC 3986 over UTF-8: all but letters, digits and `-_.~` as `%XX` in capitals."""
    return quote(text, safe="")


def canonical_query(parameters: Mapping[str, str]) -> str:
    """Sorted by name before encoding, encoded, joined."""
    return "&".join(
        f"{percent_encode(name)}={percent_encode(parameters[name])}" for name in sorted(parameters)
    )


def string_to_sign(method: str, parameters: Mapping[str, str]) -> str:
    """`parameters` is the union of query and body; its `Signature` does not count."""
    signed = {name: value for name, value in parameters.items() if name != SIGNATURE}
    return f"{method}&{percent_encode('/')}&{percent_encode(canonical_query(signed))}"


def sign(method: str, parameters: Mapping[str, str], secret: str) -> str:
    """Base64 text. `method` is the real HTTP method."""
    message = string_to_sign(method, parameters).encode()
    digest = hmac.new(f"{secret}&".encode(), message, hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def verify(method: str, parameters: Mapping[str, str], secret: str) -> bool:
    """Whether `parameters["Signature"]` fits; in constant time."""
    given = parameters.get(SIGNATURE, "").encode("utf-8", "replace")
    return hmac.compare_digest(sign(method, parameters, secret).encode(), given)


def signed_parameters(
    method: str,
    action: str,
    parameters: Mapping[str, str],
    *,
    access_key_id: str,
    secret: str,
    now: datetime,
    nonce: str,
) -> dict[str, str]:
    """Everything that a caller has to send in the query (GET) or in a form body (POST).

    `now` must be in UTC; `nonce` a text never used before.
    """
    complete = {
        **parameters,
        "Action": action,
        "Version": API_VERSION,
        "Format": "JSON",
        "AccessKeyId": access_key_id,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": nonce,
        "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {**complete, SIGNATURE: sign(method, complete, secret)}
