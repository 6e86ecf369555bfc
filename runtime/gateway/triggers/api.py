"""Requests to HTTP triggers, from the address to the answer (spec: functions (c))."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import structlog
from aiohttp import web
from multidict import CIMultiDict

from runtime.errors import CallerError, YunhanError
from runtime.gateway.bodies import BodyBudget, BodyTooLargeError, read_body
from runtime.gateway.door import Door
from runtime.gateway.framing import check_framing
from runtime.gateway.request_id import request_id_of
from runtime.gateway.triggers.answers import (
    accepted_response,
    internal_refusal,
    refusal_of_bad_response,
    refusal_of_error,
    refusal_of_outcome,
    refusal_response,
)
from runtime.messages import HttpTriggerConfig
from runtime.services.async_calls import AsyncCalls
from runtime.services.async_terms import read_key
from runtime.services.directory import SpaceDirectory, SpaceView
from runtime.services.invoke import InvokeService
from runtime.services.space_status import require_running
from runtime.tls.contexts import requested_name
from runtime.trigger import refusals
from runtime.trigger.addresses import (
    PATH_FORM,
    Origin,
    TriggerAddress,
    TriggerNames,
    host_name,
    trigger_address,
)
from runtime.trigger.paths import TriggerMatch, find_trigger, normalize_request_path
from runtime.trigger.refusals import RefusedError
from runtime.trigger.request import (
    TriggerRequest,
    check_content_encoding,
    check_content_type,
    check_method,
    trigger_args,
)
from runtime.trigger.response import (
    AnswerRules,
    BadResponse,
    TriggerResponse,
    trigger_response,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerLimits:
    """Bounds of one installation, in bytes; `body_max_bytes` is what a space may raise the others to."""

    request_max_bytes: int
    response_max_bytes: int
    body_max_bytes: int
    body_timeout_s: float
    custom_domain_inline: bool

    def request_bound(self, config: HttpTriggerConfig) -> int:
        """For the body of a request to a space."""
        return min(config.request_max_bytes or self.request_max_bytes, self.body_max_bytes)

    def response_bound(self, config: HttpTriggerConfig) -> int:
        """For the body of an answer of a space."""
        return min(config.response_max_bytes or self.response_max_bytes, self.body_max_bytes)


class TriggerApi:
    """The handler of every request that `address_of` finds an address for."""

    def __init__(
        self,
        *,
        directory: SpaceDirectory,
        names: TriggerNames,
        invoker: InvokeService,
        async_calls: AsyncCalls,
        limits: TriggerLimits,
        budget: BodyBudget,
        door: Door,
    ) -> None:
        self._directory = directory
        self._names = names
        self._invoker = invoker
        self._async_calls = async_calls
        self._limits = limits
        self._budget = budget
        self._door = door
        self.refused = 0
        """Requests that reached no function, since the start."""

    def address_of(self, request: web.Request) -> TriggerAddress | None:
        """None when the request is for the gateway itself."""
        return trigger_address(
            request.headers.get("host", ""), request.rel_url.raw_path, self._names
        )

    def is_misdirected(self, request: web.Request) -> bool:
        """True when a TLS connection was made to a trigger's host name and the request is for another one.

        A proxy that passes connections through by that name must not open what it means to keep inside."""
        name = requested_name(request.get_extra_info("ssl_object"))
        if name is None or self._names.space_named(name) is None:
            return False
        return host_name(request.headers.get("host", "")) != name

    async def handle(self, request: web.Request, address: TriggerAddress) -> web.Response:
        """The function's answer, or a refusal with the status of its reason."""
        request_id = request_id_of(request)
        try:
            answer = await self._answer(request, address, request_id)
        except YunhanError as error:
            refusal = refusal_of_error(error, request_id)
            self.refused += 1
            # What strangers send must not fill the log: it is counted.
            _log.log(
                logging.DEBUG if isinstance(error, CallerError) else logging.INFO,
                "trigger_request_refused",
                space=address.space_id[:64],
                status=refusal.status,
                code=refusal.code,
                reason=error.message[:500],
                request_id=request_id,
            )
            answer = refusal_response(refusal, request_id, self._rules(address))
        except Exception:  # noqa: BLE001 - a bug answers 500 and is logged, the server goes on
            _log.exception("trigger_request_failed", request_id=request_id)
            answer = refusal_response(internal_refusal(), request_id, self._rules(address))
        return web.Response(
            status=answer.status, headers=CIMultiDict(answer.headers), body=answer.body
        )

    async def _answer(
        self, request: web.Request, address: TriggerAddress, request_id: str
    ) -> TriggerResponse:
        await self._door.let_in(request)
        check_method(request.method)
        check_framing(request)
        space = await self._space(request, address)
        match, path = _match(space, address.raw_path)
        asynchronous = _wants_job(request)
        if asynchronous and not space.functions[match.function].asynchronous.http:
            raise RefusedError(refusals.no_async(match.function))
        body = await self._read(request, self._limits.request_bound(space.http_triggers))
        args = trigger_args(
            TriggerRequest(
                method=request.method,
                path=path,
                query=request.rel_url.raw_query_string,
                headers=tuple(request.headers.items()),
                body=body,
            )
        )
        if asynchronous:
            accepted = await self._async_calls.submit_trigger(
                space,
                match,
                args,
                request_id=request_id,
                idempotency_key=read_key(_field(request, "idempotency-key"), "idempotency-key"),
            )
            return accepted_response(accepted.job_id, self._rules(address))
        outcome = await self._invoker.invoke_trigger(space, match, args, request_id=request_id)
        rules = self._rules(address, self._limits.response_bound(space.http_triggers))
        if not outcome.ok:
            return refusal_response(refusal_of_outcome(outcome), request_id, rules)
        response = trigger_response(outcome.value, rules)
        if isinstance(response, BadResponse):
            _log.info(
                "trigger_response_refused",
                space=space.space_id,
                function=match.function,
                code=response.code,
                reason=response.message,
                request_id=request_id,
            )
            return refusal_response(refusal_of_bad_response(response), request_id, rules)
        return response

    async def _space(self, request: web.Request, address: TriggerAddress) -> SpaceView:
        """Raises CallerError when the space does not take requests at this address."""
        space = await self._directory.get(address.space_id)
        require_running(space)
        config = space.http_triggers
        if address.origin is Origin.DOMAIN and config.custom_domain != host_name(
            request.headers["host"]
        ):
            raise RefusedError(refusals.unknown_path(address.raw_path))
        if not config.enabled:
            raise RefusedError(refusals.switched_off(space.space_id))
        return space

    async def _read(self, request: web.Request, max_bytes: int) -> bytes:
        check_content_encoding(_field(request, "content-encoding"))
        try:
            body = await read_body(
                request,
                max_bytes=max_bytes,
                timeout_s=self._limits.body_timeout_s,
                budget=self._budget,
            )
        except BodyTooLargeError:
            raise RefusedError(refusals.body_too_large(max_bytes)) from None
        check_content_type(_field(request, "content-type"), has_body=bool(body))
        return body

    def _rules(self, address: TriggerAddress, max_body_bytes: int = 0) -> AnswerRules:
        return AnswerRules(
            max_body_bytes=max_body_bytes,
            origin=address.origin,
            base_path=f"{PATH_FORM}{address.space_id}" if address.origin is Origin.GATEWAY else "",
            inline=address.origin is Origin.DOMAIN and self._limits.custom_domain_inline,
        )


def _match(space: SpaceView, raw_path: str) -> tuple[TriggerMatch, str]:
    """The function for a path, and the path decoded."""
    path = normalize_request_path(raw_path)
    match = None if path is None else find_trigger(space.trigger_paths, path)
    if path is None or match is None:
        raise RefusedError(refusals.unknown_path(raw_path))
    return match, path


def _wants_job(request: web.Request) -> bool:
    """Raises RefusedError for what is neither: somebody who misspelt it would wait for the function."""
    wanted = _field(request, "x-yunhan-invocation")
    if wanted is None or wanted.strip(" \t").lower() == "sync":
        return False
    if wanted.strip(" \t").lower() != "async":
        raise RefusedError(refusals.wrong_invocation(wanted))
    return True


def _field(request: web.Request, name: str) -> str | None:
    """Several fields of a name count as one list (RFC 9110, 5.3)."""
    values = request.headers.getall(name, [])
    return ", ".join(values) if values else None
