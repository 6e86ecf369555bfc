"""Signed management requests in both schemes, and a clock for their dates."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from aiohttp import ClientSession
from yarl import URL

from runtime.signatures import acs3, rpc_v1

ACCESS_KEY = ("testAccessKeyId", "testAccessKeySecret")
NOW_MS = 1_795_227_104_462
NOW_ISO = "2026-11-21T02:11:44.462Z"
FORM = "application/x-www-form-urlencoded"


class ManualClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.time_ms = NOW_MS

    def now_ms(self) -> int:
        return self.time_ms

    def monotonic(self) -> float:
        return self.time_ms / 1000

    def advance(self, seconds: float) -> None:
        self.time_ms += int(seconds * 1000)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body["Code"])


class Caller(Protocol):
    """Sends signed management requests."""

    async def __call__(self, action: str, **parameters: object) -> Answer: ...


@dataclass
class SignedRequest:
    """A request that a test may still spoil."""

    method: str
    query: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, session: ClientSession, url: str) -> Answer:
        target = f"{url}/?{self.query}" if self.query else f"{url}/"
        async with session.request(
            self.method, URL(target, encoded=True), data=self.body or None, headers=self.headers
        ) as response:
            return Answer(response.status, dict(response.headers), await response.json())


def rpc_v1_request(
    action: str,
    parameters: Mapping[str, str],
    *,
    method: str = "POST",
    now_ms: int = NOW_MS,
    key: tuple[str, str] = ACCESS_KEY,
    nonce: str | None = None,
    version: str = rpc_v1.API_VERSION,
    split: bool = False,
) -> SignedRequest:
    """Scheme A. `split`: common parameters in the query, the action's own in the body."""
    signed = rpc_v1.signed_parameters(
        method,
        action,
        parameters,
        access_key_id=key[0],
        secret=key[1],
        now=datetime.fromtimestamp(now_ms / 1000, UTC),
        nonce=nonce or secrets.token_hex(16),
    )
    signed["Version"] = version
    signed["Signature"] = rpc_v1.sign(method, signed, key[1])
    if method == "GET":
        return SignedRequest("GET", query=urlencode(signed))
    own = {name: signed[name] for name in parameters} if split else signed
    common = {name: value for name, value in signed.items() if name not in own}
    return SignedRequest(
        "POST",
        query=urlencode(common),
        body=urlencode(own).encode(),
        headers={"Content-Type": FORM},
    )


def acs3_request(
    host: str,
    action: str,
    parameters: Mapping[str, str],
    *,
    now_ms: int = NOW_MS,
    key: tuple[str, str] = ACCESS_KEY,
    nonce: str | None = None,
    version: str = rpc_v1.API_VERSION,
    query: Mapping[str, str] | None = None,
) -> SignedRequest:
    """Scheme B: a form POST, with some parameters in the query if wanted."""
    body = urlencode(parameters).encode()
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    headers = {
        "host": host,
        "content-type": FORM,
        "x-acs-action": action,
        "x-acs-version": version,
        "x-acs-date": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce or secrets.token_hex(16),
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    names = sorted(headers)
    signed = acs3.SignedRequest(
        method="POST", path="/", query=query or {}, headers=headers, body=body
    )
    headers["authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={key[0]},SignedHeaders={';'.join(names)},"
        f"Signature={acs3.sign(signed, names, key[1])}"
    )
    return SignedRequest("POST", query=urlencode(query or {}), body=body, headers=headers)


def as_texts(parameters: Mapping[str, object], *, scheme: str) -> dict[str, str]:
    """Booleans and lists as the SDK of that scheme writes them."""
    texts: dict[str, str] = {}
    for name, value in parameters.items():
        if isinstance(value, bool):
            texts[name] = str(value) if scheme == "acs3" else str(value).lower()
        elif isinstance(value, list) and scheme == "acs3":
            texts[name] = ",".join(value)
        elif isinstance(value, list):
            texts |= {f"{name}.{place}": item for place, item in enumerate(value, 1)}
        else:
            texts[name] = str(value)
    return texts


def make_caller(scheme: str, session: ClientSession, url: str, clock: ManualClock) -> Caller:
    """A caller of one scheme: `rpc-get`, `rpc-post` or `acs3`."""

    async def call(action: str, **parameters: object) -> Answer:
        texts = as_texts(parameters, scheme=scheme)
        if scheme == "acs3":
            host = url.removeprefix("http://")
            request = acs3_request(host, action, texts, now_ms=clock.now_ms())
        else:
            method = "GET" if scheme == "rpc-get" else "POST"
            request = rpc_v1_request(action, texts, method=method, now_ms=clock.now_ms())
        return await request.send(session, url)

    return call
