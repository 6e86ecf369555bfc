"""Asynchronous jobs from each origin, and what holds for them at the claim."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.backends.control_memory import ControlMemory
from runtime.backends.files_object import LocalFileStore
from runtime.backends.ledger_memory import LedgerMemory
from runtime.errors import (
    CallerError,
    InvalidParameterError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
)
from runtime.job_codec import decode_job, encode_job
from runtime.job_ids import JobIds
from runtime.jobs.attempt import RunStop
from runtime.jobs.files import EVERYTHING_INLINE, JobFiles
from runtime.jobs.submit import AsyncSubmitter
from runtime.messages import (
    AsyncConfig,
    EgressConfig,
    EgressMode,
    Function,
    InvocationRecord,
    Job,
    JobState,
    Outcome,
    Principal,
    Source,
    Space,
    SpaceStatus,
)
from runtime.ports import HttpTraffic
from runtime.sealing import SecretBox
from runtime.services.async_calls import AsyncCalls
from runtime.services.async_terms import AsyncDefaults, check_config, read_key, terms_for
from runtime.services.at_claim import AtClaim
from runtime.services.directory import SpaceDirectory
from runtime.services.function_calls import FunctionCalls
from runtime.services.invoke import JobFactory
from runtime.services.space_keys import client_secret_context
from runtime.slots import Slots
from runtime.trigger.paths import TriggerMatch
from sandbox.api import INHERITED, Blame, OutcomeKind
from tests.harness.async_jobs import ListQueue, Stage, ToldExecutor, job_now, told
from tests.harness.clock import FakeClock

SPACE_ID = "mp-1"
BOX = SecretBox(b"k" * 32)
IDS = JobIds(b"i" * 32)


class Records(list[InvocationRecord]):
    """A sink."""


class Stand:
    """One space with functions, and the service over a queue that only keeps."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.control = ControlMemory()
        self.queue = ListQueue()
        self.records = Records()
        self.directory = SpaceDirectory(
            store=self.control, box=BOX, clock=self.clock, max_age_s=-1, poll_s=9, max_spaces=9
        )
        self.jobs = JobFactory(args_max_bytes=100, timeout_sync_max_s=60, queue_wait_s=1)
        self.ledger = LedgerMemory()
        self.calls = AsyncCalls(
            directory=self.directory,
            jobs=self.jobs,
            submitter=AsyncSubmitter(ledger=self.ledger, queue=self.queue, clock=self.clock),
            ids=IDS,
            records=self.records,
            clock=self.clock,
            defaults=AsyncDefaults(),
            depth_max=3,
        )
        self.function_calls = FunctionCalls(
            directory=self.directory,
            jobs=self.jobs,
            http=None,  # type: ignore[arg-type]
            depth_max=3,
            async_calls=self.calls,
        )

    async def store(self, **changes: Any) -> None:
        """The space, new or changed."""
        old = await self.control.read_space(SPACE_ID)
        if old is not None:
            await self.control.replace_space(replace(old, revision=old.revision + 1, **changes))
            return
        functions = {
            name: Function(
                name=name, timeout_s=7000, live_deployment_id="dep-1", live_digest="d" * 64
            )
            for name in ("f", "g")
        }
        space = Space(
            space_id=SPACE_ID,
            name="s",
            client_secret_sealed=BOX.seal(b"x", context=client_secret_context(SPACE_ID)),
            private_key_sealed=b"",
            public_key_pem="",
            created_ms=1,
            modified_ms=1,
            functions=functions,
        )
        await self.control.create_space(replace(space, **changes))

    async def submit(self, key: str | None = None) -> Job:
        await self.calls.submit(
            SPACE_ID,
            "f",
            b'{"a":1}',
            source=Source.SERVER,
            request_id="r-1",
            idempotency_key=key,
        )
        return self.job

    @property
    def job(self) -> Job:
        """The last one."""
        return self.queue.jobs[-1][0]

    async def invoke(self, parent: Job, params: object, **more: Any) -> dict[str, Any]:
        """As `ctx.mpserverless.function.invoke` does."""
        answer = await self.function_calls.answer_function(
            parent,
            await Slots(1).take(),
            "serverless.function.runtime.invoke",
            orjson.dumps(params),
            user_id=more.get("user_id"),
            note=lambda _: None,
            traffic=HttpTraffic(),
        )
        found: dict[str, Any] = orjson.loads(answer)
        return found

    def at_claim(self, files: JobFiles = EVERYTHING_INLINE) -> AtClaim:
        self.executor = ToldExecutor(told(OutcomeKind.OK))
        return AtClaim(
            executor=self.executor,
            directory=self.directory,
            records=self.records,
            clock=self.clock,
            files=files,
        )


@pytest.fixture
async def stand() -> Stand:
    stand = Stand()
    await stand.store()
    return stand


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


async def run(stand: Stand, job: Job, executor: AtClaim) -> Outcome:
    return await executor.run(job, await Slots(1).take(), queue_ms=0, stop=RunStop())


async def test_rules_of_now_hold_for_a_job_that_waited(stand: Stand) -> None:
    job = await stand.submit()
    assert job.egress == INHERITED
    at_claim = stand.at_claim()
    assert (await run(stand, job, at_claim)).ok
    assert stand.executor.jobs == [job]
    await stand.store(egress=EgressConfig(mode=EgressMode.NONE))
    await run(stand, job, at_claim)
    [_, ran] = stand.executor.jobs
    assert ran.egress.inherit is False
    assert replace(ran, egress=job.egress) == job


async def test_a_job_of_a_deleted_function_or_space_is_cancelled(stand: Stand) -> None:
    job = await stand.submit()
    at_claim = stand.at_claim()
    await stand.store(functions={})
    outcome = await run(stand, job, at_claim)
    assert outcome.kind is OutcomeKind.CANCELLED
    await stand.control.delete_space(SPACE_ID)
    assert (await run(stand, job, at_claim)).kind is OutcomeKind.CANCELLED
    assert stand.executor.jobs == []
    assert [record.kind for record in stand.records] == [OutcomeKind.CANCELLED] * 2


async def test_jobs_of_a_paused_space_wait(stand: Stand) -> None:
    job = await stand.submit()
    at_claim = stand.at_claim()
    assert await at_claim.may_start(job)
    await stand.store(status=SpaceStatus.PAUSED)
    assert not await at_claim.may_start(job)
    stage = Stage(told(OutcomeKind.OK))
    stage.runner._may_start = at_claim.may_start
    job = job_now(stage.clock, SPACE_ID)
    delivery = await stage.deliver(job)
    assert (delivery.told, delivery.delay_s) == (["postponed"], 30.0)
    assert await stage.ledger.read(job.job_id) is None  # no attempt was spent
    await stand.store(status=SpaceStatus.RUNNING)
    await stage.deliver(job)
    assert await stage.state(job) is JobState.SUCCEEDED
    await stand.control.delete_space(SPACE_ID)
    assert await at_claim.may_start(job)  # so that it ends


class Away(LocalFileStore):
    """Does not answer."""

    async def size(self, key: str) -> int | None:
        raise UnavailableError("the file store is away")


async def test_large_arguments_come_from_the_file_store(stand: Stand, tmp_path: Path) -> None:
    files = JobFiles(LocalFileStore(tmp_path / "files"), inline_max_bytes=3, spool=tmp_path)
    job = await stand.submit()
    small = await files.put_args(job)
    assert small.args == b""
    at_claim = stand.at_claim(files)
    assert await at_claim.may_start(small)
    assert (await run(stand, small, at_claim)).ok
    assert stand.executor.jobs == [job]


async def test_lost_arguments_are_our_fault_and_are_tried_again(
    stand: Stand, tmp_path: Path
) -> None:
    files = JobFiles(LocalFileStore(tmp_path / "files"), inline_max_bytes=3, spool=tmp_path)
    job = await files.put_args(await stand.submit())
    await files.remove_args(job)
    at_claim = stand.at_claim(files)
    assert await at_claim.may_start(job)
    outcome = await run(stand, job, at_claim)
    assert (outcome.kind, outcome.blame) == (OutcomeKind.SANDBOX_LOST, Blame.OURS)
    assert outcome.fault is not None
    assert outcome.fault.code == "JobBytesMissing"
    assert job.job_id in outcome.fault.message
    assert stand.executor.jobs == []
    [record] = stand.records
    assert (record.request_id, record.kind) == (job.request_id, OutcomeKind.SANDBOX_LOST)


async def test_a_file_store_that_is_away_costs_no_attempt(stand: Stand, tmp_path: Path) -> None:
    store = Away(tmp_path / "files")
    files = JobFiles(store, inline_max_bytes=3, spool=tmp_path)
    at_claim = stand.at_claim(files)
    stage = Stage(told(OutcomeKind.OK))
    stage.runner._may_start = at_claim.may_start
    job = await files.put_args(job_now(stage.clock, SPACE_ID))
    delivery = await stage.deliver(job)
    assert (delivery.told, delivery.delay_s) == (["postponed"], 5.0)
    assert await stage.ledger.read(job.job_id) is None


def test_states_are_those_of_the_command_line() -> None:
    from runtime.cli.jobs import STATES, TERMINAL

    assert set(STATES) == {state.value for state in JobState}
    assert set(TERMINAL) == {state.value for state in JobState if state.terminal}
