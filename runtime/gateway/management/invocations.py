"""Actions that run a function: the original's `RunFunction`, our own `YunhanInvoke`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from runtime.errors import InvalidParameterError
from runtime.gateway.management.answers import ApiError, whole
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.ids import new_request_id
from runtime.messages import Bill, CallKind, Outcome, Source
from runtime.services.sdk_errors import sdk_error
from sandbox.api import Blame, OutcomeKind
from sandbox.json_text import parse_json, write_json

_BILLING_STEP_MS = 100


async def run_function(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """At most `run_function_max_s`. What the function did wrong is an error with HTTP 400, what we did
    503; both name the invocation, whose log has the details."""
    space_id = parameters.needed("SpaceId")
    function, args = _parse_body(parameters.needed("Body"))
    outcome = await deps.invoker.invoke(
        space_id,
        function,
        args,
        source=Source.SERVER,
        request_id=new_request_id(),
        timeout_cap_s=deps.settings.run_function_max_s,
    )
    meta = _runtime_meta(outcome)
    if outcome.value is None:
        code, message = sdk_error(outcome, to_operator=True)
        status = 503 if outcome.blame is Blame.OURS else 400
        raise ApiError(status, code, message, extra={"RuntimeMeta": meta})
    return {"Result": outcome.value.decode(), "RuntimeMeta": meta}


async def yunhan_invoke(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Any outcome is an answer, not an error; as long as any synchronous call.

    `RequestId` is the invocation's, as in its log."""
    space_id = parameters.needed("SpaceId")
    function = parameters.needed("Name")
    args = json_text("Args", parameters.text("Args") or "{}")
    outcome = await deps.invoker.invoke(
        space_id,
        function,
        args,
        source=Source.SERVER,
        request_id=new_request_id(),
        timeout_cap_s=deps.settings.timeout_sync_max_s,
    )
    answer: dict[str, Any] = {
        "RequestId": outcome.request_id,
        "Success": outcome.ok,
        "Outcome": outcome.kind.value,
        "Bill": bill_row(outcome.bill),
    }
    if outcome.value is not None:
        answer["Result"] = outcome.value.decode()
    else:
        answer["Error"] = error_row(outcome)
        if outcome.kind is OutcomeKind.FUNCTION_ERROR and outcome.fault is not None:
            answer["Error"]["Name"] = outcome.fault.name
    return answer


def bill_row(bill: Bill) -> dict[str, Any]:
    """A bill with its units in the names; null = not known."""
    return {
        "QueueMs": bill.queue_ms,
        "Cold": bill.cold,
        "StartMs": bill.start_ms,
        "LoadMs": bill.load_ms,
        "RunMs": bill.run_ms,
        "CpuMs": bill.cpu_ms,
        "PeakMemoryMb": bill.peak_memory_mb,
        "EgressConnections": bill.egress_connections,
        "EgressRefused": bill.egress_refused,
        "EgressBytes": bill.egress_bytes,
        "Calls": None
        if bill.calls is None
        else {kind.value.capitalize(): bill.calls.get(kind, 0) for kind in CallKind},
    }


def error_row(outcome: Outcome) -> dict[str, str]:
    """Why it failed, and who is to blame."""
    code, message = sdk_error(outcome, to_operator=True)
    return {
        "Code": code,
        "Message": message,
        "Blame": outcome.blame.value if outcome.blame else "",
    }


def _runtime_meta(outcome: Outcome) -> dict[str, Any]:
    run_ms = outcome.bill.run_ms
    return {
        "InvocationDuration": whole(run_ms),
        "BillingDuration": math.ceil(run_ms / _BILLING_STEP_MS) * _BILLING_STEP_MS,
        "MaxMemoryUsage": whole(outcome.bill.peak_memory_mb),
        "RequestId": outcome.request_id,
    }


def _parse_body(text: str) -> tuple[str, bytes]:
    """Function name and arguments, which come as a value or as JSON text; without any they are `{}`."""
    try:
        body = parse_json(text)
    except ValueError as error:
        raise InvalidParameterError("Body", f"Body is no JSON text: {error}") from None
    function = body.get("functionTarget") if isinstance(body, dict) else None
    if not isinstance(function, str) or not function:
        raise InvalidParameterError(
            "Body", 'Body is JSON text {"functionTarget": name, "functionArgs": object}'
        )
    args = body.get("functionArgs")
    if args is None or args == "":
        return function, b"{}"
    if isinstance(args, str):
        return function, json_text("functionArgs", args)
    return function, write_json(args)


def json_text(name: str, text: str) -> bytes:
    """A parameter that is JSON text. Raises InvalidParameterError."""
    try:
        parse_json(text)
    except ValueError as error:
        raise InvalidParameterError(name, f"{name} is no JSON text: {error}") from None
    return text.encode()


ACTIONS = {
    "RunFunction": run_function,
    "YunhanInvoke": yunhan_invoke,
}
