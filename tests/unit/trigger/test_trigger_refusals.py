from __future__ import annotations

import json

import pytest

from runtime.errors import (
    CallerError,
    ConflictError,
    InvalidParameterError,
    NotFoundError,
    OursError,
    OverloadedError,
    UnavailableError,
    YunhanError,
)
from runtime.gateway.triggers.answers import (
    internal_refusal,
    refusal_body,
    refusal_of_bad_response,
    refusal_of_error,
    refusal_of_outcome,
    refusal_response,
)
from runtime.messages import Outcome
from runtime.services.sdk_errors import sdk_error
from runtime.trigger import refusals
from runtime.trigger.addresses import Origin
from runtime.trigger.refusals import Refusal, RefusedError
from runtime.trigger.response import AnswerRules, BadResponse
from sandbox.api import Fault, OutcomeKind

RETRY = (("retry-after", "1"),)
ANSWERS = {
    OutcomeKind.FUNCTION_ERROR: (502, "FunctionBizError", ()),
    OutcomeKind.OUT_OF_MEMORY: (502, "FunctionBizError", ()),
    OutcomeKind.EXITED: (502, "FunctionBizError", ()),
    OutcomeKind.CRASHED: (502, "FunctionBizError", ()),
    OutcomeKind.NO_RESULT: (502, "FunctionBizError", ()),
    OutcomeKind.RESULT_NOT_SERIALIZABLE: (502, "FunctionBizError", ()),
    OutcomeKind.RESULT_TOO_LARGE: (502, "FunctionBizError", ()),
    OutcomeKind.PROTOCOL_ERROR: (502, "FunctionBizError", ()),
    OutcomeKind.TIMEOUT: (504, "RequestTimeout", ()),
    OutcomeKind.SANDBOX_LOST: (502, "FunctionServerError", ()),
    OutcomeKind.WORKER_LOST: (502, "FunctionServerError", ()),
    OutcomeKind.EXPIRED: (503, "FunctionServerError", RETRY),
    OutcomeKind.REFUSED: (429, "Throttling.Api.Concurrency", RETRY),
    OutcomeKind.CANCELLED: (502, "RequestCancelled", ()),
}


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.OK])
def test_every_kind_of_outcome_has_its_answer(kind: OutcomeKind) -> None:
    status, code, headers = ANSWERS[kind]
    fault = Fault(name="E", message="what happened", stack="secret stack")
    outcome = Outcome(request_id="r", kind=kind, fault=fault)
    assert refusal_of_outcome(outcome) == Refusal(
        status=status, code=code, message=sdk_error(outcome)[1], headers=headers
    )


def test_exhausted_resources_are_503() -> None:
    fault = Fault(name="E", message="no room", code="FunctionResourceExhausted")
    outcome = Outcome(request_id="r", kind=OutcomeKind.REFUSED, fault=fault)
    assert refusal_of_outcome(outcome, retry_after_s=7) == Refusal(
        status=503,
        code="FunctionResourceExhausted",
        message="the server is busy; try again (request r)",
        headers=(("retry-after", "7"),),
    )


def test_a_success_is_no_refusal() -> None:
    with pytest.raises(ValueError, match="did not fail"):
        refusal_of_outcome(Outcome(request_id="r", kind=OutcomeKind.OK, value=b"1"))


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (NotFoundError("InvalidSpaceId.NotFound", "m"), 404, ()),
        (NotFoundError("InvalidSpace.NotInService", "m"), 404, ()),
        (CallerError("InvalidBody.Format", "m"), 400, ()),
        (ConflictError("Conflict", "m"), 400, ()),
        (CallerError("RequestTimeout", "m"), 408, ()),
        (CallerError("RequestContentLength.Exceeded", "m"), 413, ()),
        (InvalidParameterError("functionArgs", "m", code="RequestContentLength.Exceeded"), 413, ()),
        (OverloadedError("m", retry_after_s=3), 429, (("retry-after", "3"),)),
        (UnavailableError("m"), 503, RETRY),
        (OursError("InternalServerError", "m"), 503, ()),
    ],
)
def test_every_error_has_its_answer(
    error: YunhanError, status: int, headers: tuple[tuple[str, str], ...]
) -> None:
    message = error.message
    if isinstance(error, OverloadedError):
        message = "the server is busy; try again in a moment (request r)"
    elif isinstance(error, OursError):
        message = "the call failed on our side; try again (request r)"
    assert refusal_of_error(error, "r") == Refusal(
        status=status, code=error.code, message=message, headers=headers
    )


@pytest.mark.parametrize(
    ("refusal", "status", "code", "headers"),
    [
        (refusals.unknown_path("/http/x"), 404, "InvalidHttpTriggerPath.NotFound", ()),
        (refusals.switched_off("mp-1"), 404, "InvalidSpace.NotInService", ()),
        (
            refusals.wrong_method("HEAD"),
            405,
            "InvalidMethod.Format",
            (("allow", "GET, POST, PUT, DELETE"),),
        ),
        (refusals.body_too_large(4096), 413, "RequestContentLength.Exceeded", ()),
        (refusals.wrong_content_type("a/b"), 415, "InvalidRequestContentType", ()),
        (refusals.wrong_content_type(None), 415, "InvalidRequestContentType", ()),
        (
            refusals.wrong_content_encoding("br"),
            415,
            "InvalidRequestContentType",
            (("accept-encoding", "gzip, deflate"),),
        ),
        (internal_refusal(), 500, "InternalError", ()),
        (
            refusal_of_bad_response(
                BadResponse(code="ResponseContentLength.Exceeded", message="m")
            ),
            502,
            "ResponseContentLength.Exceeded",
            (),
        ),
    ],
)
def test_the_table_of_refusals(
    refusal: Refusal, status: int, code: str, headers: tuple[tuple[str, str], ...]
) -> None:
    assert (refusal.status, refusal.code, refusal.headers) == (status, code, headers)
    assert refusal_of_error(RefusedError(refusal), "r") is refusal


def test_what_the_request_named_is_quoted_and_cut() -> None:
    message = refusals.unknown_path("/http/\n" + "x" * 10_000).message
    assert len(message) < 200
    assert "\n" not in message


def test_the_body_of_a_refusal() -> None:
    assert json.loads(refusal_body("C", "m\ud800", "r-1")) == {
        "success": False,
        "error": {"code": "C", "message": "m?"},
        "requestId": "r-1",
    }


def test_messages_of_functions_are_cut() -> None:
    assert json.loads(refusal_body("C", "x" * 500, "r"))["error"]["message"] == "x" * 500
    assert json.loads(refusal_body("C", "x" * 501, "r"))["error"]["message"] == "x" * 499 + "…"
    assert len(refusal_body("C", "\0" * 1_000_000, "r")) < 4096


def test_a_refusal_is_answered_as_an_attachment_on_shared_domains() -> None:
    refusal = refusals.wrong_method("HEAD")
    shared = refusal_response(refusal, "r", AnswerRules(max_body_bytes=0, origin=Origin.SPACE))
    assert shared.status == 405
    assert shared.headers == (
        ("content-type", "application/json; charset=utf-8"),
        ("allow", "GET, POST, PUT, DELETE"),
        ("content-disposition", "attachment"),
        ("x-content-type-options", "nosniff"),
    )
    assert shared.body == refusal_body(refusal.code, refusal.message, "r")
    own = refusal_response(
        refusal, "r", AnswerRules(max_body_bytes=0, origin=Origin.DOMAIN, inline=True)
    )
    assert "content-disposition" not in dict(own.headers)
