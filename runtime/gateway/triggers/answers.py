"""Answers to requests that got no answer from a function: status, code and body, in one place.

429 and 503 say that the function was not run, so that repeating is safe. 502 and 504 say that it was, or may
have been: the code in the body tells whether it or we failed.
"""

from __future__ import annotations

from runtime.errors import NotFoundError, OursError, YunhanError
from runtime.messages import Outcome
from runtime.services import envelope, sdk_errors
from runtime.trigger.refusals import Refusal, RefusedError
from runtime.trigger.response import JSON_TYPE, AnswerRules, BadResponse, TriggerResponse
from sandbox.api import OutcomeKind
from sandbox.json_text import write_json

MESSAGE_MAX_CHARACTERS = 500

_STATUS_OF_CODE = {
    "RequestContentLength.Exceeded": 413,
    "IdempotencyKeyReused": 409,
    "ClientIpNotAllowed": 403,
    "RequestTimeout": 408,  # the request's own bytes came too slowly
}
_STATUS_OF_KIND = {
    OutcomeKind.TIMEOUT: 504,
    OutcomeKind.EXPIRED: 503,
    OutcomeKind.REFUSED: 503,
}
"""Every other kind is 502."""


def internal_refusal() -> Refusal:
    """A defect of ours; the log has the rest."""
    return Refusal(status=500, code="InternalError", message="the request failed on our side")


def refusal_of_error(error: YunhanError, request_id: str) -> Refusal:
    """The answer to a request that raised before its function ran."""
    if isinstance(error, RefusedError):
        return error.refusal
    if isinstance(error, OursError):
        message = sdk_errors.told_to_strangers(error, request_id)
        return _try_again(error.code, message, error.retry_after_s)
    status = 404 if isinstance(error, NotFoundError) else _STATUS_OF_CODE.get(error.code, 400)
    return Refusal(status=status, code=error.code, message=error.message)


def refusal_of_outcome(outcome: Outcome, *, retry_after_s: int = 1) -> Refusal:
    """The answer to a failed outcome. Raises ValueError for `ok`."""
    code, message = sdk_errors.sdk_error(outcome)
    status = _STATUS_OF_KIND.get(outcome.kind, 502)
    if status == 503:
        return _try_again(code, message, retry_after_s)
    return Refusal(status=status, code=code, message=message)


def refusal_of_bad_response(bad: BadResponse) -> Refusal:
    """The answer when what the function returned cannot be sent."""
    return Refusal(status=502, code=bad.code, message=bad.message)


def refusal_body(code: str, message: str, request_id: str) -> bytes:
    """The JSON text of every refusal. A function's error message is cut: it is not bounded like a body."""
    if len(message) > MESSAGE_MAX_CHARACTERS:
        message = f"{message[: MESSAGE_MAX_CHARACTERS - 1]}…"
    return envelope.failure(code, message, request_id=request_id)


def refusal_response(refusal: Refusal, request_id: str, rules: AnswerRules) -> TriggerResponse:
    """The whole answer, in the same form as a function's."""
    return TriggerResponse(
        status=refusal.status,
        headers=(("content-type", JSON_TYPE), *refusal.headers, *rules.fixed_headers),
        body=refusal_body(refusal.code, refusal.message, request_id),
    )


def accepted_response(job_id: str, rules: AnswerRules) -> TriggerResponse:
    """202: the function will run, nobody waits for its answer. Never what the function says."""
    return TriggerResponse(
        status=202,
        headers=(
            ("content-type", JSON_TYPE),
            ("x-yunhan-job-id", job_id),
            *rules.fixed_headers,
        ),
        body=write_json({"jobId": job_id}),
    )


def _try_again(code: str, message: str, retry_after_s: int | None) -> Refusal:
    """Too many calls are 429, everything else that passes is 503."""
    headers = () if retry_after_s is None else (("retry-after", str(retry_after_s)),)
    status = 429 if code in {sdk_errors.THROTTLED, sdk_errors.TOO_MANY} else 503
    return Refusal(status=status, code=code, message=message, headers=headers)
