"""Asynchronous jobs through a real server, in every scheme."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runtime.errors import OverloadedError, RateExceededError, UnavailableError
from runtime.messages import JobState, Outcome, Source
from runtime.ports import Claim, Quota
from runtime.services.function_async import AsyncChange
from runtime.services.functions import FunctionChange, with_function
from sandbox.api import Fault, OutcomeKind
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import Answer, Caller

SPACE = {"SpaceId": SPACE_ID}
DEMO = {**SPACE, "Name": "demo"}
OTHER = "mp-00000000-0000-4000-8000-000000000002"


@pytest.fixture(autouse=True)
async def demo(bench: Bench) -> None:
    for space_id in (SPACE_ID, OTHER):
        await bench.add_space(space_id)
    await bench.functions.create(SPACE_ID, "demo", FunctionChange(timeout_s=3600))
    await bench.functions.create(SPACE_ID, "empty", FunctionChange())
    await bench.editor.change(
        SPACE_ID,
        lambda space: with_function(
            space,
            replace(space.functions["demo"], live_deployment_id="dep-1", live_digest="d"),
        ),
    )


async def submit(call: Caller, **more: Any) -> str:
    done = await call("YunhanInvokeAsync", **{**DEMO, **more})
    assert done.status == 200, done.body
    return str(done.body["JobId"])


async def claim(bench: Bench, number: int = -1) -> Claim:
    job = bench.queue.jobs[number][0]
    claim = await bench.ledger.claim(
        job,
        worker_id="w1",
        request_id="r-1",
        lease_ms=30_000,
        quota=Quota(per_space=9, per_function=9),
        now_ms=bench.clock.now_ms(),
    )
    assert isinstance(claim, Claim)
    return claim


async def end(bench: Bench, state: JobState, outcome: Outcome) -> None:
    assert await bench.ledger.finish(
        await claim(bench), state, outcome, now_ms=bench.clock.now_ms() + 5
    )


DEAD = Outcome(
    request_id="r-1",
    kind=OutcomeKind.SANDBOX_LOST,
    fault=Fault(name="SandboxError", message="the disk is full"),
)


async def test_a_job_is_made_with_the_terms_of_its_function(bench: Bench, call: Caller) -> None:
    await bench.function_async.update(
        SPACE_ID, "demo", AsyncChange(attempts_max=7, retry_function=True)
    )
    done = await call("YunhanInvokeAsync", **DEMO, Args='{"a": 1}')
    assert done.status == 200, done.body
    assert done.body["First"] is True
    [(job, _)] = bench.queue.jobs
    assert job.job_id == done.body["JobId"]
    assert (job.args, job.source) == (b'{"a": 1}', Source.SERVER)
    assert job.limits.timeout_s == 3600
    assert job.terms is not None
    assert (job.terms.attempts_max, job.terms.backoff_first_s) == (7, 2.0)
    assert (job.terms.retry_function, job.terms.accepted_ms) == (True, bench.clock.now_ms())


async def test_a_repeated_key_returns_the_first_job(bench: Bench, call: Caller) -> None:
    first = await submit(call, IdempotencyKey="k", Args="1")
    again = await call("YunhanInvokeAsync", **DEMO, IdempotencyKey="k", Args="1")
    assert (again.body["JobId"], again.body["First"]) == (first, False)
    other = await call("YunhanInvokeAsync", **DEMO, IdempotencyKey="k", Args="2")
    assert (other.status, other.code) == (409, "IdempotencyKeyReused")
    assert len(bench.queue.jobs) == 1
    assert await submit(call, IdempotencyKey="other") != first


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"Name": "nope"}, 404, "FunctionNotFound"),
        ({"Name": "empty"}, 404, "FunctionNotDeployed"),
        ({"Name": ""}, 400, "MissingName"),
        ({"SpaceId": "mp-nope"}, 404, "InvalidSpaceId.NotFound"),
        ({"Args": "{"}, 400, "InvalidParameter.Args"),
        ({"Args": '"' + "x" * 1000 + '"'}, 400, "RequestContentLength.Exceeded"),
        ({"IdempotencyKey": "a b"}, 400, "InvalidParameter.IdempotencyKey"),
        ({"IdempotencyKey": "ä"}, 400, "InvalidParameter.IdempotencyKey"),
        ({"IdempotencyKey": "k" * 201}, 400, "InvalidParameter.IdempotencyKey"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_run_is_refused(
    bench: Bench, call: Caller, parameters: dict[str, str], status: int, code: str
) -> None:
    done = await call("YunhanInvokeAsync", **{**DEMO, **parameters})
    assert (done.status, done.code) == (status, code)
    assert bench.queue.jobs == []


async def test_a_queue_that_takes_nothing_is_told(bench: Bench, call: Caller) -> None:
    bench.queue.refusal = OverloadedError("full")
    done = await call("YunhanInvokeAsync", **DEMO)
    assert (done.status, done.code) == (503, "Throttling.Api.Concurrency")
    assert done.body["Message"] == "full", "operators are told why"
    bench.queue.refusal = RateExceededError("too fast", retry_after_s=2)
    done = await call("YunhanInvokeAsync", **DEMO)
    assert (done.status, done.code) == (429, "Throttling.Api.Concurrency")
    bench.queue.refusal = UnavailableError("away")
    assert (await call("YunhanInvokeAsync", **DEMO)).status == 503
    bench.queue.refusal = None
    bench.async_calls.accepting = False
    assert (await call("YunhanInvokeAsync", **DEMO)).status == 503


async def test_who_has_not_shown_a_key_is_told_no_details(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overloaded(*_: object, **__: object) -> bytes:
        raise OverloadedError("more than 9 bytes (YUNHAN_BODIES_MAX_BYTES)")

    monkeypatch.setattr("runtime.gateway.management.api.read_body", overloaded)
    done = await call("YunhanInvokeAsync", **DEMO)
    assert (done.status, done.code) == (503, "Throttling.Api.Concurrency")
    assert done.body["Message"] == (
        f"the server is busy; try again in a moment (request {done.body['RequestId']})"
    )


async def test_a_job_is_shown_from_the_queue_to_its_end(bench: Bench, call: Caller) -> None:
    job_id = await submit(call, IdempotencyKey="k")
    one = {**SPACE, "JobId": job_id}

    async def shown() -> dict[str, Any]:
        done = await call("YunhanDescribeJob", **one)
        assert done.status == 200, done.body
        return dict(done.body["Job"])

    told = await shown()
    assert (told["State"], told["Attempts"], told["IdempotencyKey"]) == ("queued", [], "k")
    held = await claim(bench)
    told = await shown()
    assert told["State"] == "running"
    [attempt] = told["Attempts"]
    assert (attempt["Number"], attempt["WorkerId"], attempt["Outcome"]) == (1, "w1", None)
    outcome = Outcome(request_id="r-1", kind=OutcomeKind.OK, value=b'{"a":1}')
    await bench.ledger.finish(held, JobState.SUCCEEDED, outcome, now_ms=bench.clock.now_ms())
    told = await shown()
    assert (told["State"], told["Result"], told["RequestId"]) == ("succeeded", '{"a":1}', "r-1")
    assert told["Attempts"][0]["Outcome"] == "ok"
    assert told["EndedAt"]
    assert told["Bill"]["RunMs"] == 0
    assert "Error" not in told
    assert (await call("YunhanDescribeJob", JobId=job_id)).body["Job"] == told


async def test_a_job_that_only_the_queue_knows_is_shown(bench: Bench, call: Caller) -> None:
    job_id = await submit(call)
    for parameters in ({"JobId": job_id}, {**SPACE, "JobId": job_id}):
        job = (await call("YunhanDescribeJob", **parameters)).body["Job"]
        assert (job["JobId"], job["State"], job["SpaceId"]) == (job_id, "queued", SPACE_ID)


@pytest.mark.parametrize(
    "action", ["YunhanDescribeJob", "YunhanCancelJob", "YunhanReplayJob", "YunhanDropJob"]
)
async def test_jobs_of_other_spaces_do_not_exist(bench: Bench, call: Caller, action: str) -> None:
    waiting = await submit(call)
    known = await submit(call)
    await end(bench, JobState.DEAD, DEAD)

    async def refused(**parameters: str) -> Answer:
        done = await call(action, **parameters)
        assert (done.status, done.code) == (404, "JobNotFound")
        return done

    for job_id in (waiting, known):
        of_other = (await refused(SpaceId=OTHER, JobId=job_id)).body["Message"]
        unknown = job_id[:-1] + ("0" if job_id[-1] != "0" else "1")
        of_nobody = (await refused(SpaceId=OTHER, JobId=unknown)).body["Message"]
        assert of_other.replace(job_id, "") == of_nobody.replace(unknown, "")
        await refused(JobId=unknown)
    await refused(**SPACE, JobId="job-1")


async def test_cancel_is_told_by_the_state(bench: Bench, call: Caller) -> None:
    waiting = await submit(call)
    for _ in range(2):
        done = await call("YunhanCancelJob", **SPACE, JobId=waiting)
        assert done.body["Job"]["State"] == "cancelled"
    running = await submit(call)
    held = await claim(bench)
    assert (await call("YunhanCancelJob", JobId=running)).body["Job"]["State"] == "cancelled"
    assert not await bench.ledger.renew(held, lease_ms=1, now_ms=bench.clock.now_ms())
    over = await submit(call)
    await end(bench, JobState.DEAD, DEAD)
    assert (await call("YunhanCancelJob", JobId=over)).body["Job"]["State"] == "dead"


async def test_lists_by_state_and_function_page_by_page(bench: Bench, call: Caller) -> None:
    ids = []
    for _ in range(3):
        bench.clock.advance(1)
        ids.append(await submit(call))
        await end(bench, JobState.DEAD, DEAD)
    bench.clock.advance(1)
    ok = await submit(call)
    await end(bench, JobState.SUCCEEDED, Outcome(request_id="r-1", kind=OutcomeKind.OK, value=b"1"))

    async def found(**parameters: Any) -> tuple[list[str], int]:
        done = await call("YunhanListJobs", **{**SPACE, **parameters})
        assert done.status == 200, done.body
        rows = done.body["DataList"]
        assert not any("Result" in row or "Attempts" in row for row in rows)
        return [row["JobId"] for row in rows], done.body["Paginator"]["Total"]

    assert await found() == ([ok, *reversed(ids)], 4)
    assert await found(State="dead") == (list(reversed(ids)), 3)
    assert await found(State=["dead", "SUCCEEDED"], PageSize=2) == ([ok, ids[2]], 4)
    assert await found(State="dead", PageSize=2, PageNum=2) == ([ids[0]], 3)
    assert await found(Name="empty") == ([], 0)
    assert await found(FromDate=bench.clock.now_ms()) == ([ok], 1)
    assert await found(SpaceId=OTHER) == ([], 0)
    row = (await call("YunhanListJobs", **SPACE, State="dead")).body["DataList"][0]
    assert row["Error"] == {
        "Code": "FunctionServerError",
        "Message": "the disk is full",
        "Blame": "ours",
    }
    assert (row["Outcome"], row["AttemptsMade"], row["AttemptsMax"]) == ("sandbox_lost", 1, 3)
    assert (await call("YunhanListJobs", **SPACE, State="odd")).code == "InvalidParameter.State"
    assert (await call("YunhanListJobs", SpaceId="mp-nope")).status == 404


async def test_replay_and_drop(bench: Bench, call: Caller) -> None:
    job_id = await submit(call, Args='{"n":1}')
    await end(bench, JobState.DEAD, DEAD)
    one = {**SPACE, "JobId": job_id}
    new = [(await call("YunhanReplayJob", **one)).body["JobId"] for _ in range(2)]
    once = [(await call("YunhanReplayJob", **one, Once=True)).body for _ in range(2)]
    assert len({job_id, *new, once[0]["JobId"]}) == 4
    assert once[0]["JobId"] == once[1]["JobId"]
    assert [each["First"] for each in once] == [True, False]
    again = bench.queue.jobs[-1][0]
    assert again.args == b'{"n":1}'
    assert again.terms is not None
    assert again.terms.replay_of == job_id
    assert again.limits.timeout_s == 3600
    assert (await call("YunhanDropJob", **SPACE, JobId=new[0])).code == "JobNotOver"
    assert (await call("YunhanDropJob", **one)).body["JobId"] == job_id
    assert (await call("YunhanDescribeJob", **one)).status == 404
    assert (await call("YunhanDescribeJob", JobId=job_id)).status == 404
    waiting = await submit(call)
    done = await call("YunhanReplayJob", **SPACE, JobId=waiting)
    assert (done.status, done.code) == (400, "JobNotOver")


async def test_replay_of_a_function_that_is_gone_says_so(bench: Bench, call: Caller) -> None:
    job_id = await submit(call)
    await end(bench, JobState.DEAD, DEAD)
    await bench.functions.delete(SPACE_ID, "demo")
    assert (await call("YunhanReplayJob", JobId=job_id)).code == "FunctionNotFound"


async def test_the_ledger_is_checked_against_a_list(bench: Bench, call: Caller) -> None:
    over = await submit(call)
    await end(bench, JobState.DEAD, DEAD)
    running = await submit(call)
    await claim(bench)
    dropped = await submit(call)
    await end(bench, JobState.DEAD, DEAD)
    await call("YunhanDropJob", JobId=dropped)
    done = await call("YunhanCheckLedger", **SPACE)
    assert done.body["Sound"] is True
    assert {k: v for k, v in done.body["States"].items() if v} == {"dead": 1, "running": 1}
    lines = f"{over}\n{over}\n{running}\n{dropped}\njob-nobody\n"
    told = (await call("YunhanCheckLedger", Accepted=lines)).body
    assert (told["Sound"], told["Accepted"], told["Dropped"]) == (False, 4, 1)
    assert (told["Missing"], told["Unended"], told["Double"]) == (["job-nobody"], [running], [over])
    told = (await call("YunhanCheckLedger", Accepted=over)).body
    assert told["Sound"] is True
    bench.clock.advance(91)
    told = (await call("YunhanCheckLedger", ToleranceS=60)).body
    assert (told["Sound"], told["FlawsCount"]) == (False, 1)
    assert running in told["Flaws"][0]


async def test_settings_of_a_function(bench: Bench, call: Caller) -> None:
    told = (await call("YunhanDescribeFunctionAsync", **DEMO)).body
    del told["RequestId"]
    assert told == {
        "Name": "demo",
        "Attempts": 3,
        "BackoffMs": 2000,
        "BackoffLongestMs": 300_000,
        "RetryErrors": False,
        "Http": False,
        "Own": [],
    }
    changed = {"Attempts": 10, "BackoffMs": 500, "BackoffLongestMs": 1500, "Http": True}
    done = await call("YunhanUpdateFunctionAsync", **DEMO, **changed, RetryErrors=True)
    assert done.status == 200, done.body
    assert done.body.items() >= {**changed, "RetryErrors": True}.items()
    assert done.body["Own"] == ["Attempts", "BackoffMs", "BackoffLongestMs"]
    done = await call("YunhanUpdateFunctionAsync", **DEMO, Http=False)
    assert (done.body["Http"], done.body["RetryErrors"], done.body["Attempts"]) == (False, True, 10)
    done = await call("YunhanUpdateFunctionAsync", **DEMO, Reset=True, Attempts=1)
    assert (done.body["Attempts"], done.body["BackoffMs"], done.body["Own"]) == (
        1,
        2000,
        ["Attempts"],
    )


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"Attempts": "0"}, "InvalidParameter.Attempts"),
        ({"Attempts": "11"}, "InvalidParameter.Attempts"),
        ({"BackoffMs": "86400001"}, "InvalidParameter.Backoff"),
        ({"BackoffMs": "-1"}, "InvalidParameter.BackoffMs"),
        ({"BackoffLongestMs": "x"}, "InvalidParameter.BackoffLongestMs"),
        ({"BackoffMs": "2000", "BackoffLongestMs": "1000"}, "InvalidParameter.Backoff"),
        ({"RetryErrors": "maybe"}, "InvalidParameter.RetryErrors"),
        ({"Name": "nope", "Attempts": "2"}, "FunctionNotFound"),
    ],
)
async def test_wrong_settings_change_nothing(
    bench: Bench, call: Caller, parameters: dict[str, str], code: str
) -> None:
    before = await bench.function_async.get(SPACE_ID, "demo")
    assert (await call("YunhanUpdateFunctionAsync", **{**DEMO, **parameters})).code == code
    assert await bench.function_async.get(SPACE_ID, "demo") == before


async def test_a_deleted_space_takes_its_jobs_along(bench: Bench, call: Caller) -> None:
    job_id = await submit(call)
    await end(bench, JobState.DEAD, DEAD)
    await bench.spaces.delete(SPACE_ID)
    assert await bench.ledger.read(job_id) is None
