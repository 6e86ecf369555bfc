"""Asynchronous jobs from each origin, and their replay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.errors import (
    CallerError,
    InvalidParameterError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
)
from runtime.job_codec import decode_job, encode_job
from runtime.messages import (
    AsyncConfig,
    Function,
    JobState,
    Principal,
    Source,
    SpaceStatus,
)
from runtime.services.async_terms import AsyncDefaults, check_config, read_key, terms_for
from runtime.trigger.paths import TriggerMatch
from sandbox.api import OutcomeKind
from tests.unit.async_calls_support import IDS, SPACE_ID, Stand, new_stand


@pytest.fixture
async def stand() -> Stand:
    return await new_stand()


async def test_a_job_runs_longer_than_any_call_and_has_an_id_of_its_space(stand: Stand) -> None:
    job = await stand.submit()
    assert job.limits.timeout_s == 7000
    assert IDS.valid(job.job_id, SPACE_ID)
    assert (job.source, job.args, job.principal) == (Source.SERVER, b'{"a":1}', Principal())
    assert job.terms == terms_for(
        AsyncConfig(), AsyncDefaults(), accepted_ms=stand.clock.now_ms(), idempotency_key=None
    )
    assert decode_job(encode_job(job)) == job


async def test_terms_are_the_functions_then_the_installations() -> None:
    config = AsyncConfig(attempts_max=5, backoff_longest_s=1.0, retry_function=True)
    terms = terms_for(config, AsyncDefaults(keep_s=9), accepted_ms=7)
    assert (terms.attempts_max, terms.backoff_first_s, terms.backoff_longest_s) == (5, 1.0, 1.0)
    assert (terms.retry_function, terms.keep_s, terms.accepted_ms) == (True, 9, 7)


@pytest.mark.parametrize("attempts", [0, 11, -1])
def test_attempts_have_bounds(attempts: int) -> None:
    with pytest.raises(InvalidParameterError, match="1 to 10"):
        check_config(AsyncConfig(attempts_max=attempts))
    check_config(AsyncConfig(attempts_max=10, backoff_first_s=0, backoff_longest_s=86_400))


@pytest.mark.parametrize("key", ["a b", " ", "ä", "a\n", "k" * 201, "\x00", "tick 1"])
def test_no_caller_can_have_a_key_of_ours(key: str) -> None:
    with pytest.raises(InvalidParameterError):
        read_key(key)


def test_keys() -> None:
    assert read_key(None) is read_key("") is None
    assert read_key("k" * 200) == "k" * 200


async def test_strangers_keys_are_apart_from_the_owners(stand: Stand) -> None:
    space = await stand.directory.get(SPACE_ID)
    match = TriggerMatch(function="f", path="/http/f", remainder="/")
    accepted = await stand.calls.submit_trigger(
        space, match, b"{}", request_id="r", idempotency_key="k"
    )
    job = stand.job
    assert (job.source, job.trigger_path) == (Source.HTTP, "/http/f")
    assert (await stand.submit("k")).job_id != accepted.job_id
    again = await stand.calls.submit_trigger(
        space, match, b"{}", request_id="r", idempotency_key="k"
    )
    assert (again.job_id, again.first) == (accepted.job_id, False)


async def test_the_longer_trigger_arguments_are_bounded_elsewhere(stand: Stand) -> None:
    with pytest.raises(InvalidParameterError, match="101 bytes"):
        await stand.calls.submit(SPACE_ID, "f", b" " * 101, source=Source.SERVER, request_id="r")


async def test_a_stopping_program_takes_nothing_from_outside(stand: Stand) -> None:
    parent = await stand.submit()
    stand.calls.accepting = False
    with pytest.raises(UnavailableError):
        await stand.submit()
    with pytest.raises(UnavailableError):
        await stand.calls.refresh(parent)
    answer = await stand.invoke(parent, {"functionTarget": "g", "async": True})
    assert answer["success"], answer


async def test_a_refusal_leaves_a_record(stand: Stand) -> None:
    stand.queue.refusal = OverloadedError("full")
    with pytest.raises(OverloadedError):
        await stand.submit()
    [record] = stand.records
    assert (record.request_id, record.kind) == ("r-1", OutcomeKind.REFUSED)
    stand.queue.refusal = UnavailableError("it may be there")
    with pytest.raises(UnavailableError):
        await stand.submit()
    assert len(stand.records) == 1


async def test_a_function_gets_the_id_of_its_job(stand: Stand) -> None:
    parent = replace(
        await stand.submit(),
        source=Source.CLIENT,
        principal=Principal(user_id="u", app_id="a", provider="p"),
        request_id="r-parent",
    )
    params = {"functionTarget": "g", "functionArgs": {"n": 1}, "async": True}
    answer = await stand.invoke(parent, params)
    job = stand.job
    assert answer == {
        "success": True,
        "data": {"jobId": job.job_id},
        "requestId": job.request_id,
    }
    assert (job.function, job.args, job.source) == ("g", b'{"n":1}', Source.SERVER)
    assert (job.depth, job.parent_request_id) == (1, "r-parent")
    assert job.principal == Principal()  # the call's user is not the job's
    await stand.invoke(parent, params, user_id="u2")
    assert stand.job.principal == Principal(user_id="u2")  # the function itself named it


async def test_a_functions_key_is_its_spaces(stand: Stand) -> None:
    parent = await stand.submit()
    params = {
        "functionTarget": "f",
        "functionArgs": {"a": 1},
        "async": True,
        "idempotencyKey": "k",
    }
    first = (await stand.invoke(parent, params))["data"]["jobId"]
    assert (await stand.invoke(parent, params))["data"]["jobId"] == first
    assert stand.job.job_id == first
    await stand.submit("k")
    other = await stand.invoke(parent, {**params, "functionArgs": {"other": 1}})
    assert other["error"]["code"] == "IdempotencyKeyReused"
    assert stand.job.job_id == first
    key: object
    for key in (1, "a b", {}):
        answer = await stand.invoke(parent, {**params, "idempotencyKey": key})
        assert answer["error"]["code"] == "InvalidParameter.IdempotencyKey"


async def test_a_function_that_enqueues_itself_ends(stand: Stand) -> None:
    job = await stand.submit()
    params = {"functionTarget": "f", "async": True}
    for depth in (1, 2, 3):
        assert (await stand.invoke(job, params))["success"]
        job = stand.job
        assert job.depth == depth
    answer = await stand.invoke(job, params)
    assert answer["error"]["code"] == "FunctionCallDepth.Exceeded"
    assert len(stand.queue.jobs) == 4


async def test_errors_of_functions_have_their_codes(stand: Stand) -> None:
    parent = await stand.submit()
    answer = await stand.invoke(parent, {"functionTarget": "nope", "async": True})
    assert answer["error"]["code"] == "FunctionNotFound"
    stand.queue.refusal = OverloadedError("full")
    answer = await stand.invoke(parent, {"functionTarget": "f", "async": True})
    assert answer["error"]["code"] == "Throttling.Api.Concurrency"
    request_id = answer["requestId"]
    assert answer["error"]["message"] == (
        f"the server is busy; try again in a moment (request {request_id})"
    )


async def test_a_replay_runs_the_code_of_now_and_stays_who_it_was(stand: Stand) -> None:
    job = replace(
        await stand.submit(), principal=Principal(user_id="u"), depth=2, parent_request_id="r-p"
    )
    functions = {"f": Function(name="f", live_deployment_id="dep-2", live_digest="e")}
    await stand.store(functions=functions)
    fresh = await stand.calls.refresh(job)
    assert (fresh.code.deployment_id, fresh.limits.timeout_s) == ("dep-2", 5)
    assert (fresh.principal, fresh.depth, fresh.parent_request_id) == (job.principal, 2, "r-p")
    assert (fresh.terms, fresh.args, fresh.source) == (job.terms, job.args, job.source)
    await stand.store(status=SpaceStatus.PAUSED)
    with pytest.raises(NotFoundError, match="paused"):
        await stand.calls.refresh(job)
    with pytest.raises(CallerError):
        await stand.submit()


def test_states_are_those_of_the_command_line() -> None:
    from runtime.cli.jobs import STATES, TERMINAL

    assert set(STATES) == {state.value for state in JobState}
    assert set(TERMINAL) == {state.value for state in JobState if state.terminal}
