"""What `/client` and `/server` have in common: bounded bodies, signatures, clocks, envelopes.

Always HTTP 200 with the envelope, also for errors: on Alipay another status would hide the body from the
SDK, and with it the error code that makes it renew its token (client protocol §3).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web

from runtime.errors import CallerError, InvalidParameterError, YunhanError
from runtime.gateway.bodies import BodyBudget, BodyTooLargeError, read_body
from runtime.gateway.cross_origin import CrossOrigin, add_headers
from runtime.gateway.door import Door
from runtime.gateway.request_id import request_id_of
from runtime.ports import Clock
from runtime.services import envelope
from runtime.services.directory import SpaceDirectory, SpaceView
from runtime.services.sdk_errors import told_to_strangers
from runtime.services.space_status import require_running
from sandbox.json_text import parse_json

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """How one of the two addresses differs."""

    name: str
    """What its log lines begin with."""
    key: str
    """What its callers sign with, for people."""
    signed: Callable[[SpaceView, Mapping[str, Any], str], bool]
    """Whether the signature is the space's over this body."""
    of_clients: bool
    """Whether anybody may come, who is counted by address, and pages of browsers by their origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkRequest:
    """A request of a running space whose signature and time are right. Its fields are still anything."""

    http: web.Request
    request_id: str
    space: SpaceView
    body: Mapping[str, Any] = field(repr=False)

    def method(self) -> str:
        """Raises CallerError."""
        method = self.body.get("method")
        if method is None:
            raise CallerError("MissingMethod", "the body has no method")
        if not isinstance(method, str):
            raise CallerError("InvalidMethod.Format", "method must be a text")
        return method

    def text(self, name: str) -> str | None:
        """None when it is absent or empty. Raises InvalidParameterError for another type."""
        return _text(self.body, name)


class SdkRequests:
    """Checks requests of SDKs and answers them."""

    def __init__(
        self,
        *,
        directory: SpaceDirectory,
        clock: Clock,
        body_max_bytes: int,
        clock_skew_s: int,
        body_timeout_s: float,
        budget: BodyBudget,
        door: Door,
        origins: CrossOrigin,
    ) -> None:
        self.door = door
        self._origins = origins
        self._directory = directory
        self._clock = clock
        self._body_max_bytes = body_max_bytes
        self._clock_skew_ms = clock_skew_s * 1000
        self._body_timeout_s = body_timeout_s
        self._budget = budget

    async def respond(
        self, request: web.Request, side: Side, answer: Callable[[SdkRequest], Awaitable[bytes]]
    ) -> web.Response:
        """`answer` gives the JSON text of an envelope; what it raises becomes one."""
        request_id = request_id_of(request)
        try:
            text = await answer(await self._checked(request, side, request_id))
        except YunhanError as error:
            _log.info(
                f"{side.name}_call_refused",
                code=error.code,
                reason=error.message,
                request_id=request_id,
            )
            message = told_to_strangers(error, request_id)
            text = envelope.failure(error.code, message, request_id=request_id)
        except Exception:  # noqa: BLE001 - the SDK needs HTTP 200 and an envelope, always
            _log.exception(f"{side.name}_call_failed", request_id=request_id)
            text = envelope.failure(
                "InternalServerError",
                f"the call failed on our side (request {request_id})",
                request_id=request_id,
            )
        response = web.Response(body=text, content_type="application/json", charset="utf-8")
        if side.of_clients:
            add_headers(request, response)
        return response

    async def _checked(self, request: web.Request, side: Side, request_id: str) -> SdkRequest:
        if side.of_clients:
            await self.door.let_in(request)
        else:
            self.door.let_in_uncounted(request)
        body = await self._read(request)
        space = await self._directory.get(_text(body, "spaceId", required=True) or "")
        if side.of_clients:
            self._origins.check(request, space.space_id, space.access)
        if not side.signed(space, body, request.headers.get("x-serverless-sign", "")):
            raise CallerError(
                "SignatureNotMatch",
                f"the signature does not match; is this the {side.key} of space {space.space_id}?",
            )
        self._check_time(body.get("timestamp"))
        require_running(space)
        return SdkRequest(http=request, request_id=request_id, space=space, body=body)

    async def _read(self, request: web.Request) -> dict[str, Any]:
        try:
            raw = await read_body(
                request,
                max_bytes=self._body_max_bytes,
                timeout_s=self._body_timeout_s,
                budget=self._budget,
            )
        except BodyTooLargeError as error:
            raise CallerError("RequestContentLength.Exceeded", str(error)) from None
        try:
            body = parse_json(raw)
        except ValueError:
            raise _bad_body("the body is no JSON") from None
        if not isinstance(body, dict):
            raise _bad_body("the body must be a JSON object")
        return body

    def _check_time(self, sent_ms: object) -> None:
        if not isinstance(sent_ms, int | float) or isinstance(sent_ms, bool):
            raise InvalidParameterError(
                "timestamp", "timestamp must be a number of milliseconds", code="MissingParams"
            )
        if self._clock_skew_ms and abs(sent_ms - self._clock.now_ms()) > self._clock_skew_ms:
            raise InvalidParameterError(
                "timestamp",
                f"timestamp differs by more than {self._clock_skew_ms // 1000} s from our clock;"
                " set the clock of the device",
            )


def _text(body: Mapping[str, Any], name: str, *, required: bool = False) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        if required:
            raise CallerError("MissingParams", f"the body has no {name}")
        return None
    if not isinstance(value, str):
        raise InvalidParameterError(name, f"{name} must be a text", code="InvalidParams.Format")
    return value


def _bad_body(message: str) -> CallerError:
    return CallerError("InvalidBody.Format", message)
