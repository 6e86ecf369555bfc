"""`POST /client`: the mini program SDKs (spec: client protocol).

Always HTTP 200 with the envelope, also for errors: on Alipay another status would hide the body from the
SDK, and with it the error code that makes it renew its token (§3).
"""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web

from runtime.errors import CallerError, InvalidParameterError, YunhanError
from runtime.gateway.bodies import BodyBudget, BodyTooLargeError, read_body
from runtime.gateway.request_id import request_id_of
from runtime.ports import Clock
from runtime.services import envelope
from runtime.services.client_calls import ClientCall, ClientCalls
from runtime.services.directory import SpaceDirectory, SpaceView
from runtime.services.invoke import require_running
from runtime.services.sdk_errors import told_to_strangers
from runtime.signatures import sdk_client
from sandbox.json_text import parse_json

_log = structlog.get_logger(__name__)


class ClientApi:
    """The handler of `/client`."""

    def __init__(
        self,
        *,
        directory: SpaceDirectory,
        calls: ClientCalls,
        clock: Clock,
        body_max_bytes: int,
        clock_skew_s: int,
        body_timeout_s: float,
        budget: BodyBudget,
    ) -> None:
        self._directory = directory
        self._calls = calls
        self._clock = clock
        self._body_max_bytes = body_max_bytes
        self._clock_skew_ms = clock_skew_s * 1000
        self._body_timeout_s = body_timeout_s
        self._budget = budget

    async def handle(self, request: web.Request) -> web.Response:
        request_id = request_id_of(request)
        try:
            answer = await self._answer(request, request_id)
        except YunhanError as error:
            _log.info(
                "client_call_refused", code=error.code, reason=error.message, request_id=request_id
            )
            message = told_to_strangers(error, request_id)
            answer = envelope.failure(error.code, message, request_id=request_id)
        except Exception:  # noqa: BLE001 - the SDK needs HTTP 200 and an envelope, always
            _log.exception("client_call_failed", request_id=request_id)
            answer = envelope.failure(
                "InternalServerError",
                f"the call failed on our side (request {request_id})",
                request_id=request_id,
            )
        return web.Response(body=answer, content_type="application/json", charset="utf-8")

    async def _answer(self, request: web.Request, request_id: str) -> bytes:
        body = await self._read(request)
        space = await self._directory.get(_text(body, "spaceId", required=True) or "")
        self._verify(space, body, request.headers.get("x-serverless-sign", ""))
        require_running(space)
        return await self._calls.answer(
            ClientCall(
                space=space,
                method=_method(body),
                params=_text(body, "params"),
                token=_text(body, "token"),
                request_id=request_id,
                client_ip=request.remote,
                user_agent=request.headers.get("user-agent"),
            )
        )

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

    def _verify(self, space: SpaceView, body: dict[str, Any], signature: str) -> None:
        if not sdk_client.verify(body, signature, space.client_secret):
            raise CallerError(
                "SignatureNotMatch",
                f"the signature does not match; is this the client secret of space {space.space_id}?",
            )
        sent_ms = body.get("timestamp")
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


def _method(body: dict[str, Any]) -> str:
    method = body.get("method")
    if method is None:
        raise CallerError("MissingMethod", "the body has no method")
    if not isinstance(method, str):
        raise CallerError("InvalidMethod.Format", "method must be a text")
    return method


def _text(body: dict[str, Any], name: str, *, required: bool = False) -> str | None:
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
