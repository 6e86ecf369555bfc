"""RunFunction and YunhanInvoke through a real server, in both schemes."""

import pytest

from runtime.errors import OverloadedError
from runtime.messages import Bill, Outcome, Source
from sandbox.api import Fault, OutcomeKind
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.scripted_invoker import Invocation
from tests.unit.signed_requests import Caller


@pytest.mark.parametrize(
    ("args", "received"),
    [
        (', "functionArgs": {"a": [1, "世"]}', '{"a":[1,"世"]}'),
        (', "functionArgs": "{\\"a\\": 1}"', '{"a": 1}'),
        (', "functionArgs": []', "[]"),
        (', "functionArgs": null', "{}"),
        (', "functionArgs": ""', "{}"),
        ("", "{}"),
    ],
)
async def test_run_function(call: Caller, bench: Bench, args: str, received: str) -> None:
    answer = await call("RunFunction", SpaceId=SPACE_ID, Body=f'{{"functionTarget": "demo"{args}}}')
    (invocation,) = bench.invoker.calls
    assert answer.body == {
        "RequestId": answer.body["RequestId"],
        "Result": received,
        "RuntimeMeta": {
            "InvocationDuration": 14,
            "BillingDuration": 100,
            "MaxMemoryUsage": 32,
            "RequestId": invocation.request_id,
        },
    }
    assert invocation == Invocation(
        SPACE_ID, "demo", received.encode(), Source.SERVER, invocation.request_id, 60
    )


@pytest.mark.parametrize(
    "body",
    [
        *("", "x", "[]", "1", "{}", '{"functionTarget": ""}', '{"functionTarget": 1}'),
        '{"functionTarget": "f", "functionArgs": "no json"}',
    ],
)
async def test_run_function_with_a_bad_body(call: Caller, bench: Bench, body: str) -> None:
    answer = await call("RunFunction", SpaceId=SPACE_ID, Body=body)
    assert answer.status == 400
    assert answer.code in {"MissingBody", "InvalidParameter.Body", "InvalidParameter.functionArgs"}
    assert bench.invoker.calls == []


@pytest.mark.parametrize(
    ("kind", "fault", "status", "code", "message"),
    [
        (
            OutcomeKind.FUNCTION_ERROR,
            Fault(name="E", message="boom", code="4001"),
            *(400, "FunctionBizError", "4001:boom"),
        ),
        (OutcomeKind.TIMEOUT, Fault(name="E", message="5 s"), 400, "RequestTimeout", "5 s"),
        (OutcomeKind.EXPIRED, Fault(name="E", message="late"), 503, "FunctionServerError", "late"),
    ],
)
async def test_a_failed_run_is_an_error_that_names_the_invocation(
    call: Caller,
    bench: Bench,
    kind: OutcomeKind,
    fault: Fault,
    status: int,
    code: str,
    message: str,
) -> None:
    bench.invoker.script = lambda each: Outcome(request_id=each.request_id, kind=kind, fault=fault)
    answer = await call("RunFunction", SpaceId=SPACE_ID, Body='{"functionTarget": "demo"}')
    assert (answer.status, answer.code, answer.body["Message"]) == (status, code, message)
    assert answer.body["RuntimeMeta"]["RequestId"] == bench.invoker.calls[0].request_id


async def test_yunhan_invoke(call: Caller, bench: Bench) -> None:
    answer = await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo", Args='{"a": "世"}')
    (invocation,) = bench.invoker.calls
    assert invocation.timeout_cap_s == 900
    assert invocation.source is Source.SERVER
    assert answer.status == 200
    assert answer.body == {
        "RequestId": invocation.request_id,
        "Success": True,
        "Outcome": "ok",
        "Result": '{"a": "世"}',
        "Bill": {
            "QueueMs": 0.0,
            "Cold": False,
            "StartMs": 0.0,
            "LoadMs": None,
            "RunMs": 13.2,
            "CpuMs": None,
            "PeakMemoryMb": 31.5,
            "EgressConnections": 2,
            "EgressRefused": 0,
            "EgressBytes": 512,
            "Calls": {"Function": 1, "Db": 0, "File": 0, "User": 0, "Http": 0, "Other": 0},
        },
    }
    await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo")
    assert bench.invoker.calls[1].args == b"{}"
    bad = await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo", Args="{")
    assert (bad.status, bad.code) == (400, "InvalidParameter.Args")


async def test_yunhan_invoke_answers_any_outcome(call: Caller, bench: Bench) -> None:
    bench.invoker.script = lambda each: Outcome(
        request_id=each.request_id,
        kind=OutcomeKind.FUNCTION_ERROR,
        fault=Fault(name="TypeError", message="boom", stack="at x"),
        bill=Bill(cold=True, run_ms=1.5),
    )
    answer = await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo")
    assert answer.status == 200
    assert (answer.body["Success"], answer.body["Outcome"]) == (False, "function_error")
    assert answer.body["Error"] == {
        "Code": "FunctionBizError",
        "Message": "boom",
        "Blame": "function",
        "Name": "TypeError",
    }
    assert "Code" not in answer.body  # pop-core would take it for an error of the API
    assert "Result" not in answer.body


async def test_overload_is_503_with_a_time_to_wait(call: Caller, bench: Bench) -> None:
    def refuse(_invocation: Invocation) -> Outcome:
        raise OverloadedError("the queue is full", retry_after_s=2)

    bench.invoker.script = refuse
    answer = await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo")
    assert (answer.status, answer.code) == (503, "Throttling.Api.Concurrency")
    assert answer.headers["Retry-After"] == "2"


async def test_a_bug_is_500_without_details(call: Caller, bench: Bench) -> None:
    def fail(_invocation: Invocation) -> Outcome:
        raise RuntimeError("secret detail")

    bench.invoker.script = fail
    answer = await call("RunFunction", SpaceId=SPACE_ID, Body='{"functionTarget": "demo"}')
    assert (answer.status, answer.code) == (500, "InternalError")
    assert "secret" not in str(answer.body)
    assert answer.body["RequestId"] in answer.body["Message"]
