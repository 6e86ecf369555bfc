"""Codes and messages of failed invocations, by the table of functions.md (g)."""

import pytest

from runtime.messages import Outcome
from runtime.services.sdk_errors import sdk_error
from sandbox.api import Blame, Fault, OutcomeKind

CODES = {
    OutcomeKind.FUNCTION_ERROR: "FunctionBizError",
    OutcomeKind.OUT_OF_MEMORY: "FunctionBizError",
    OutcomeKind.EXITED: "FunctionBizError",
    OutcomeKind.CRASHED: "FunctionBizError",
    OutcomeKind.NO_RESULT: "FunctionBizError",
    OutcomeKind.RESULT_NOT_SERIALIZABLE: "FunctionBizError",
    OutcomeKind.RESULT_TOO_LARGE: "FunctionBizError",
    OutcomeKind.PROTOCOL_ERROR: "FunctionBizError",
    OutcomeKind.TIMEOUT: "RequestTimeout",
    OutcomeKind.SANDBOX_LOST: "FunctionServerError",
    OutcomeKind.WORKER_LOST: "FunctionServerError",
    OutcomeKind.EXPIRED: "FunctionServerError",
    OutcomeKind.REFUSED: "Throttling.Api.Concurrency",
    OutcomeKind.CANCELLED: "RequestCancelled",
}


def failed(kind: OutcomeKind, fault: Fault | None) -> Outcome:
    return Outcome(request_id="r", kind=kind, fault=fault)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.OK])
def test_every_kind_has_its_code_and_a_message(kind: OutcomeKind) -> None:
    fault = Fault(name="E", message="what happened", stack="secret stack")
    told = sdk_error(failed(kind, fault))
    assert told[0] == CODES[kind]
    if kind.blame is Blame.OURS:
        assert "what happened" not in told[1], "paths and machines are not for strangers"
        assert "(request r)" in told[1]
    else:
        assert told[1] == "what happened"
    assert sdk_error(failed(kind, fault), to_operator=True) == (CODES[kind], "what happened")
    code, message = sdk_error(failed(kind, None))
    assert code == CODES[kind]
    assert message


def test_a_thrown_error_with_a_code_shows_it_in_the_message_only() -> None:
    fault = Fault(name="Error", message="Cannot find module './x'", code="MODULE_NOT_FOUND")
    assert sdk_error(failed(OutcomeKind.FUNCTION_ERROR, fault)) == (
        "FunctionBizError",
        "MODULE_NOT_FOUND:Cannot find module './x'",
    )


def test_codes_of_other_kinds_stay_out_of_the_message() -> None:
    fault = Fault(name="E", message="gone", code="ERR_EXIT")
    assert sdk_error(failed(OutcomeKind.EXITED, fault)) == ("FunctionBizError", "gone")


def test_a_thrown_error_without_a_message_stays_without() -> None:
    fault = Fault(name="Error", message="")
    assert sdk_error(failed(OutcomeKind.FUNCTION_ERROR, fault)) == ("FunctionBizError", "")


def test_exhausted_resources_keep_their_code() -> None:
    fault = Fault(name="E", message="no room", code="FunctionResourceExhausted")
    assert sdk_error(failed(OutcomeKind.REFUSED, fault))[0] == "FunctionResourceExhausted"


def test_success_is_no_error() -> None:
    with pytest.raises(ValueError, match="did not fail"):
        sdk_error(Outcome(request_id="r", kind=OutcomeKind.OK, value=b"1"))
