"""What went wrong on our side is told to strangers in fixed words; addresses and settings are in the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.errors import OursError, OverloadedError, RateExceededError, UnavailableError
from runtime.gateway.health import HealthApi
from runtime.messages import Outcome
from sandbox.api import Blame, Ending, Fault, OutcomeKind
from tests.harness.sdk_http import client_body
from tests.harness.strict_http import WireAnswer
from tests.harness.trigger_gateway import ON, TriggerGateway

pytestmark = pytest.mark.integration

SECRET = "RabbitMQ at 10.0.0.3:5672 is away (YUNHAN_QUEUE_URL)"
BUSY = "the server is busy; try again in a moment"
FAILED = "the call failed on our side; try again"
ERRORS = [
    (OverloadedError(SECRET, retry_after_s=7), "Throttling.Api.Concurrency", BUSY, 429),
    (RateExceededError(SECRET, retry_after_s=7), "Throttling.Api.Concurrency", BUSY, 429),
    (UnavailableError(SECRET), "InternalServerError", FAILED, 503),
    (OursError("InternalServerError", SECRET), "InternalServerError", FAILED, 503),
]
KINDS = [kind for kind in OutcomeKind if kind.blame is Blame.OURS]


async def call_client(gateway: TriggerGateway, method: str, **params: Any) -> dict[str, Any]:
    """A call as the SDK makes it, with a token of a new user."""
    token = params.pop("token", None)
    body, signature = client_body(ON, "secret", method, params, token)
    headers = (f"x-serverless-sign: {signature}", "content-type: application/json")
    answer = await gateway.ask(
        "/client", method="POST", host="127.0.0.1", headers=headers, body=body
    )
    assert answer.status == 200
    told = json.loads(answer.body)
    assert isinstance(told, dict)
    return told


async def invoke(gateway: TriggerGateway) -> dict[str, Any]:
    authorized = await call_client(gateway, "serverless.auth.user.anonymousAuthorize")
    return await call_client(
        gateway,
        "serverless.function.runtime.invoke",
        token=authorized["data"]["accessToken"],
        functionTarget="f",
        functionArgs={},
    )


def raises(error: OursError) -> Callable[..., Any]:
    async def call(_job: object) -> Outcome:
        raise error

    return call


def is_hidden(told: dict[str, Any], code: str, text: str, logs: list[Any]) -> None:
    """In the answer; the log has the reason under the same request id."""
    request_id = told["requestId"]
    assert told["error"] == {"code": code, "message": f"{text} (request {request_id})"}
    told_here = [log for log in logs if log.get("request_id") == request_id]
    assert any(log.get("reason") == SECRET for log in told_here)


@pytest.mark.parametrize(("error", "code", "text", "_status"), ERRORS)
async def test_clients(
    gateway: TriggerGateway,
    monkeypatch: pytest.MonkeyPatch,
    error: OursError,
    code: str,
    text: str,
    _status: int,
) -> None:
    monkeypatch.setattr(gateway.small.queue, "call", raises(error))
    with capture_logs() as logs:
        told = await invoke(gateway)
    is_hidden(told, code, text, logs)


@pytest.mark.parametrize("headers", [(), ("x-yunhan-invocation: async",)])
@pytest.mark.parametrize(("error", "code", "text", "status"), ERRORS)
async def test_triggers(
    gateway: TriggerGateway,
    monkeypatch: pytest.MonkeyPatch,
    error: OursError,
    code: str,
    text: str,
    status: int,
    headers: tuple[str, ...],
) -> None:
    monkeypatch.setattr(gateway.small.queue, "call", raises(error))
    gateway.line.refusal = error
    with capture_logs() as logs:
        answer = await gateway.ask("/http/later", headers=headers)
    assert answer.status == status
    wait = None if error.retry_after_s is None else str(error.retry_after_s)
    assert answer.get("retry-after") == wait
    is_hidden(json.loads(answer.body), code, text, logs)


@pytest.mark.parametrize("kind", KINDS)
async def test_outcomes(gateway: TriggerGateway, kind: OutcomeKind) -> None:
    gateway.returns(Ending(kind=kind, fault=Fault(name="E", message=SECRET)))
    by_trigger: WireAnswer = await gateway.ask("/http/f")
    for told in (json.loads(by_trigger.body), await invoke(gateway)):
        message = told["error"]["message"]
        assert "10.0.0.3" not in message
        assert "YUNHAN" not in message
        assert f"(request {told['requestId']})" in message


async def test_health_checks_name_parts_only() -> None:
    """Those without which calls are served make nobody unready."""

    async def away() -> str | None:
        return SECRET

    async def works() -> str | None:
        return None

    health = HealthApi(checks={"queue": works}, gauges=dict)
    health.watch(checks={}, gauges=dict, beside={"intake": away})
    see_log = "does not work; the log says why"
    with capture_logs() as logs:
        for _ in range(2):
            answer = await health.readyz(None)  # type: ignore[arg-type]
            assert answer.status == 200
            assert json.loads(answer.body) == {  # type: ignore[arg-type]
                "status": "ready",
                "degraded": {"intake": see_log},
            }
    assert [log["problems"] for log in logs] == [{"intake": SECRET}]
    health.watch(checks={"documents": away}, gauges=dict)
    answer = await health.readyz(None)  # type: ignore[arg-type]
    assert answer.status == 503
    assert json.loads(answer.body)["problems"] == {"documents": see_log}  # type: ignore[arg-type]
    assert await health.problems() == {"documents": SECRET, "intake": SECRET}
