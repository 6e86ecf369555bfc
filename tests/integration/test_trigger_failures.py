"""Answers of HTTP triggers to requests whose function failed or was not run."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import OverloadedError, UnavailableError
from sandbox.api import Ending, Fault, OutcomeKind
from tests.harness.trigger_gateway import (
    DOMAIN,
    TriggerGateway,
)
from tests.harness.trigger_rules import (
    HOST,
    refused,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (OutcomeKind.FUNCTION_ERROR, 502, "FunctionBizError"),
        (OutcomeKind.OUT_OF_MEMORY, 502, "FunctionBizError"),
        (OutcomeKind.EXITED, 502, "FunctionBizError"),
        (OutcomeKind.CRASHED, 502, "FunctionBizError"),
        (OutcomeKind.NO_RESULT, 502, "FunctionBizError"),
        (OutcomeKind.RESULT_NOT_SERIALIZABLE, 502, "FunctionBizError"),
        (OutcomeKind.RESULT_TOO_LARGE, 502, "FunctionBizError"),
        (OutcomeKind.PROTOCOL_ERROR, 502, "FunctionBizError"),
        (OutcomeKind.TIMEOUT, 504, "RequestTimeout"),
        (OutcomeKind.SANDBOX_LOST, 502, "FunctionServerError"),
        (OutcomeKind.WORKER_LOST, 502, "FunctionServerError"),
        (OutcomeKind.EXPIRED, 503, "FunctionServerError"),
        (OutcomeKind.REFUSED, 429, "Throttling.Api.Concurrency"),
        (OutcomeKind.CANCELLED, 502, "RequestCancelled"),
    ],
)
@pytest.mark.parametrize("host", [HOST, DOMAIN])
async def test_every_failed_outcome_has_its_status(
    gateway: TriggerGateway, kind: OutcomeKind, status: int, code: str, host: str
) -> None:
    fault = Fault(name="Error", message="boom\r\n云\x00", stack="secret place")
    gateway.returns(Ending(kind=kind, fault=fault))
    answer = await gateway.ask(host=host)
    refused(answer, status, code)
    assert b"secret place" not in answer.body
    assert (answer.get("retry-after") is not None) == (status in {429, 503})
    shared = host != DOMAIN
    assert answer.get("content-disposition") == ("attachment" if shared else None)


async def test_a_thrown_error_is_502_with_its_message_cut(gateway: TriggerGateway) -> None:
    def boom(_: Any) -> Any:
        raise ValueError("x" * 100_000)

    gateway.script = boom
    answer = await gateway.ask()
    message = refused(answer, 502, "FunctionBizError")["error"]["message"]
    assert message.startswith("xxx")
    assert len(message) <= 500


@pytest.mark.parametrize(
    ("error", "status"),
    [(OverloadedError("full"), 429), (UnavailableError("down"), 503)],
)
async def test_overload_says_when_to_come_back(
    gateway: TriggerGateway, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def refuse(_: Any) -> Any:
        raise error

    monkeypatch.setattr(gateway.small.queue, "call", refuse)
    answer = await gateway.ask()
    refused(answer, status, None)
    assert answer.get("retry-after") == "1"


async def test_a_stopping_program_refuses(gateway: TriggerGateway) -> None:
    gateway.invoker.accepting = False
    answer = await gateway.ask()
    refused(answer, 503, None)
    assert answer.get("retry-after")
    gateway.invoker.accepting = True
