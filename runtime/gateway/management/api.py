"""The handler of `/`: authenticate, find the action, answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp import web

from runtime.errors import (
    CallerError,
    NotFoundError,
    OursError,
    OverloadedError,
    YunhanError,
)
from runtime.gateway.bodies import BodyTooLargeError, read_body
from runtime.gateway.management.answers import ApiError, failure, internal_error, success
from runtime.gateway.management.authentication import Authenticator, RawRequest
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.gateway.management.registry import ACTIONS
from runtime.ids import new_management_request_id
from runtime.services.sdk_errors import told_to_strangers

_log = structlog.get_logger(__name__)


def management_handler(
    deps: ManagementDeps,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of GET and POST `/`."""
    return _ManagementApi(deps).handle


class _ManagementApi:
    def __init__(self, deps: ManagementDeps) -> None:
        self._deps = deps
        self._authenticator = Authenticator(
            access_keys=deps.access_keys,
            clock=deps.clock,
            skew_s=deps.settings.management_clock_skew_s,
            nonces_max=deps.settings.management_nonces_max,
        )

    async def handle(self, request: web.Request) -> web.Response:
        request_id = new_management_request_id()
        try:
            self._deps.door.let_in_uncounted(request)
            read = await self._read(request)
        except OursError as error:  # nobody knows yet who asks
            _log.info("management_request_refused", reason=error.message, request_id=request_id)
            told = OverloadedError(told_to_strangers(error, request_id))
            return failure(told, request_id=request_id, host=request.host)
        except (YunhanError, ApiError) as error:
            return failure(error, request_id=request_id, host=request.host)
        try:
            answer = await self._answer(read, request_id)
        except (YunhanError, ApiError) as error:
            return failure(error, request_id=request_id, host=request.host)
        except Exception:  # noqa: BLE001 - a bug answers 500 and is logged, the server goes on
            _log.exception("management_request_failed", request_id=request_id)
            return internal_error(request_id=request_id, host=request.host)
        return success(answer, request_id=request_id)

    async def _read(self, request: web.Request) -> RawRequest:
        try:
            body = await read_body(
                request,
                max_bytes=self._deps.settings.management_body_max_bytes,
                timeout_s=self._deps.body_timeout_s,
                budget=self._deps.budget,
            )
        except BodyTooLargeError as error:
            raise ApiError(413, "RequestContentLength.Exceeded", str(error)) from None
        return RawRequest(
            method=request.method,
            path=request.rel_url.raw_path,
            query=request.rel_url.raw_query_string,
            headers=_headers(request),
            body=body,
        )

    async def _answer(self, request: RawRequest, request_id: str) -> Mapping[str, Any]:
        call = self._authenticator.authenticate(request)
        action = ACTIONS.get(call.action)
        if action is None:
            raise NotFoundError(
                "InvalidAction.NotFound", f"there is no action {call.action[:64]} in this version"
            )
        parameters = Parameters(call.parameters)
        try:
            answer = await action(self._deps, parameters)
        except (CallerError, ApiError) as error:
            self._report(call.action, call.access_key_id, parameters, request_id, error.code)
            raise
        self._report(call.action, call.access_key_id, parameters, request_id, "OK")
        return answer

    def _report(
        self, action: str, access_key_id: str, parameters: Parameters, request_id: str, code: str
    ) -> None:
        _log.info(
            "management_request",
            action=action,
            access_key=access_key_id,
            space=parameters.text("SpaceId"),
            request_id=request_id,
            code=code,
        )


def _headers(request: web.Request) -> dict[str, str]:
    """Names in lower case; a header that was sent several times is joined, as it is signed."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers
