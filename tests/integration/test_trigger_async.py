"""HTTP triggers that answer with a job instead of waiting (`X-Yunhan-Invocation: async`)."""

from __future__ import annotations

import json

import pytest

from runtime.errors import OverloadedError, UnavailableError
from runtime.messages import Principal, Source
from tests.harness.trigger_gateway import ON, TriggerGateway

pytestmark = pytest.mark.integration

ASYNC = "x-yunhan-invocation: async"


async def test_a_job_is_answered_with_its_id(gateway: TriggerGateway) -> None:
    answer = await gateway.ask(
        "/http/later/x?a=1",
        method="POST",
        headers=(ASYNC, "content-type: text/plain"),
        body=b"text",
    )
    assert answer.status == 202
    job_id = json.loads(answer.body)["jobId"]
    assert json.loads(answer.body) == {"jobId": job_id}
    headers = dict(answer.fields)
    assert headers["x-yunhan-job-id"] == job_id
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["content-disposition"] == "attachment"
    assert headers["x-content-type-options"] == "nosniff"
    [(job, delay_s)] = gateway.line.jobs
    assert (job.job_id, delay_s) == (job_id, 0)
    assert (job.space_id, job.function, job.source) == (ON, "later", Source.HTTP)
    assert job.function_env() == {"MP_SPACE_ID": ON, "MP_SOURCE": "http"}
    assert (job.trigger_path, job.principal) == ("/http/later", Principal())
    args = json.loads(job.args)
    assert (args["httpMethod"], args["path"], args["body"]) == ("POST", "/http/later/x", "text")
    assert args["queryStringParameters"] == {"a": "1"}
    assert job.request_id == headers["request-id"]
    assert gateway.seen == []


async def test_a_key_gives_the_first_job_again(gateway: TriggerGateway) -> None:
    async def ask(key: str) -> str:
        answer = await gateway.ask("/http/later", headers=(ASYNC, f"idempotency-key: {key}"))
        assert answer.status == 202
        return str(json.loads(answer.body)["jobId"])

    first, again, other = await ask("a"), await ask("a"), await ask("b")
    assert first == again != other
    keys = [job.terms.idempotency_key for job, _ in gateway.line.jobs if job.terms]
    assert keys == ["http a", "http b"]


@pytest.mark.parametrize("value", ["sync", " SYNC "])
async def test_sync_waits_as_ever(gateway: TriggerGateway, value: str) -> None:
    answer = await gateway.ask("/http/f", headers=(f"x-yunhan-invocation: {value}",))
    assert (answer.status, answer.body) == (200, b"done")
    assert gateway.line.jobs == []


@pytest.mark.parametrize(
    ("target", "headers", "status", "code"),
    [
        ("/http/f", (ASYNC,), 400, "AsyncInvocation.NotAllowed"),
        ("/http/later", ("x-yunhan-invocation: asynch",), 400, "InvalidInvocation.Format"),
        ("/http/later", (ASYNC, ASYNC), 400, "InvalidInvocation.Format"),
        (
            "/http/later",
            (ASYNC, "idempotency-key: a b"),
            400,
            "InvalidParameter.IdempotencyKey",
        ),
        (
            "/http/later",
            (ASYNC, f"idempotency-key: {'k' * 201}"),
            400,
            "InvalidParameter.IdempotencyKey",
        ),
        ("/http/nowhere", (ASYNC,), 404, "InvalidHttpTriggerPath.NotFound"),
    ],
)
async def test_refusals(
    gateway: TriggerGateway, target: str, headers: tuple[str, ...], status: int, code: str
) -> None:
    answer = await gateway.ask(target, headers=headers)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code)
    assert gateway.line.jobs == []
    assert gateway.seen == []


async def test_the_refusal_says_what_to_do(gateway: TriggerGateway) -> None:
    answer = await gateway.ask("/http/f", headers=(ASYNC,))
    assert b"yunhan function set f --space SPACE --http-async" in answer.body


async def test_bodies_have_the_same_bound(gateway: TriggerGateway) -> None:
    headers = (ASYNC, "content-type: text/plain")
    answer = await gateway.ask("/http/later", method="POST", headers=headers, body=b"x" * 4097)
    assert answer.status == 413
    assert gateway.line.jobs == []


async def test_a_full_queue_and_a_broken_one_are_told(gateway: TriggerGateway) -> None:
    gateway.line.refusal = OverloadedError("full", retry_after_s=7)
    answer = await gateway.ask("/http/later", headers=(ASYNC,))
    assert (answer.status, dict(answer.fields)["retry-after"]) == (429, "7")
    assert [record.kind.value for record in gateway.small.records] == ["refused"]
    gateway.line.refusal = UnavailableError("away")
    assert (await gateway.ask("/http/later", headers=(ASYNC,))).status == 503
    gateway.async_calls.accepting = False
    assert (await gateway.ask("/http/later", headers=(ASYNC,))).status == 503
