"""Asynchronous jobs by every way in, to every end, over one program that is also killed."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.harness.management import Management, ManagementError
from tests.harness.polling import poll
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

FUNCTIONS = {
    "echo": "module.exports = async (ctx) => ({ args: ctx.args, env: ctx.env })",
    "fails": "module.exports = async () => { throw new Error('not today') }",
    "crashes": "module.exports = async () => { process.abort() }",
    "waits": "module.exports = async (ctx) => new Promise((r) => setTimeout(r, ctx.args.ms, 'slept'))",
    "late": "module.exports = async () => new Promise(() => {})",
    "large": "module.exports = async (ctx) => 'x'.repeat(ctx.args.n)",
    "starts": """
module.exports = async (ctx) => {
  const { name, args, options } = ctx.args;
  const answer = await ctx.mpserverless.function.invoke(name, args, { async: true, ...options });
  return answer;
};
""",
    "again": """
module.exports = async (ctx) => {
  try {
    const { result } = await ctx.mpserverless.function.invoke('again', {}, { async: true });
    return result.jobId;
  } catch (error) {
    return error.code;
  }
};
""",
    "trigger": "module.exports = async (ctx) => ({ body: ctx.args.body, source: ctx.env.MP_SOURCE })",
}
END_S = 40.0
ENDS = {"succeeded", "failed", "timed_out", "dead", "cancelled", "expired"}


class Jobs:
    """A program with the functions above, and what tests ask of it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.management = Management(program.endpoint, program.access_key())
        self.space, _ = self.management.space("jobs")
        for name, source in FUNCTIONS.items():
            more: dict[str, Any] = {"HttpTriggerPath": "/http/t"} if name == "trigger" else {}
            timeout_s = 1 if name == "late" else 60
            files = {"index.js": source}
            self.management.deploy(self.space, name, files, Timeout=timeout_s, **more)

    def cli(self, *words: str, code: int = 0) -> Any:
        """A command with --json; its answer."""
        done = self.program.cli(*words, "--json")
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def submit(self, name: str, args: object = None, **more: Any) -> str:
        answer = self.management.call(
            "YunhanInvokeAsync", SpaceId=self.space, Name=name, Args=json.dumps(args or {}), **more
        )
        return str(answer["JobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        return self.management.job(job_id)

    def until_running(self, job_id: str) -> None:
        poll(lambda: self.job(job_id)["State"] == "running", END_S, told=lambda: self.job(job_id))

    def record(self, request_id: str) -> dict[str, Any]:
        """Of an attempt."""
        return self.management.record(self.space, request_id, END_S)

    def end(self, job_id: str) -> dict[str, Any]:
        job = self.management.job_over(job_id, END_S)
        assert job["State"] in ENDS, job
        return job


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(
        tmp_path_factory.mktemp("jobs") / "data",
        YUNHAN_SLOTS="4",
        YUNHAN_ASYNC_SLOTS="3",
        YUNHAN_SANDBOXES_MAX="24",
        YUNHAN_CALL_DEPTH_MAX="3",
        YUNHAN_ASYNC_LEASE_S="3",
        YUNHAN_ASYNC_SWEEP_S="1",
        YUNHAN_ASYNC_SWEEP_GRACE_S="2",
        YUNHAN_ASYNC_BACKOFF_FIRST_S="0.2",
        YUNHAN_ASYNC_INLINE_MAX_BYTES="1000",
    )
    program.start()
    yield program
    if program.process is not None and program.process.poll() is None:
        assert program.stop() == 0, program.log()


@pytest.fixture(scope="module")
def jobs(program: Program) -> Jobs:
    return Jobs(program)


def test_a_job_from_the_command_line(jobs: Jobs) -> None:
    words = ("invoke", "echo", "--space", jobs.space, "--args", '{"a":1}', "--async")
    told = jobs.cli(*words)
    job = jobs.end(told["jobId"])
    assert job["State"] == "succeeded", job
    result = json.loads(job["Result"])
    assert result["args"] == {"a": 1}
    assert result["env"]["MP_SOURCE"] == "server"
    [attempt] = job["Attempts"]
    assert (attempt["Number"], attempt["Outcome"]) == (1, "ok")
    assert job["Bill"]["RunMs"] > 0
    shown = jobs.program.cli("job", "show", told["jobId"])
    assert "succeeded" in shown.stdout
    assert '"a": 1' in shown.stdout
    waited = jobs.cli(*words, "--wait")
    assert (waited["state"], waited["result"]["args"]) == ("succeeded", {"a": 1})
    record = jobs.record(attempt["RequestId"])
    assert (record["Outcome"], record["Source"]) == ("ok", "server")


def test_a_repeated_key_is_one_job(jobs: Jobs) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = set(
            threads.map(lambda _: jobs.submit("echo", {"n": 1}, IdempotencyKey="one"), range(8))
        )
    assert len(ids) == 1
    with pytest.raises(ManagementError, match="409 IdempotencyKeyReused"):
        jobs.submit("echo", {"n": 2}, IdempotencyKey="one")
    job = jobs.end(ids.pop())
    assert (job["State"], len(job["Attempts"])) == ("succeeded", 1)


def test_a_job_from_a_function(jobs: Jobs) -> None:
    args = {"name": "echo", "args": {"from": "starts"}, "options": {"idempotencyKey": "f"}}
    answers = [jobs.management.invoke(jobs.space, "starts", args) for _ in range(2)]
    results = [json.loads(answer["Result"]) for answer in answers]
    assert all(result["success"] for result in results)
    assert len({result["result"]["jobId"] for result in results}) == 1
    job = jobs.end(results[0]["result"]["jobId"])
    assert job["State"] == "succeeded"
    assert (job["Depth"], job["ParentRequestId"]) == (1, answers[0]["RequestId"])
    told = json.loads(job["Result"])
    assert (told["args"], told["env"]["MP_SOURCE"]) == ({"from": "starts"}, "server")


def test_a_function_that_enqueues_itself_ends(jobs: Jobs) -> None:
    job_id = jobs.submit("again")
    for _ in range(3):
        job = jobs.end(job_id)
        job_id = json.loads(job["Result"])
        assert job_id.startswith("job-")
    assert json.loads(jobs.end(job_id)["Result"]) == "FunctionCallDepth.Exceeded"


def test_a_job_from_an_http_trigger(jobs: Jobs) -> None:
    jobs.cli("trigger", "on", jobs.space)

    def ask() -> tuple[int, dict[str, Any], dict[str, str]]:
        request = urllib.request.Request(
            f"{jobs.program.endpoint}/trigger/{jobs.space}/http/t",
            data=b"hello",
            headers={"X-Yunhan-Invocation": "async", "Content-Type": "text/plain"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), dict(error.headers)

    status, body, _ = ask()
    assert (status, body["error"]["code"]) == (400, "AsyncInvocation.NotAllowed")
    jobs.cli("function", "set", "trigger", "--space", jobs.space, "--http-async")
    status, body, headers = ask()
    assert status == 202
    assert headers["x-yunhan-job-id"] == body["jobId"]
    job = jobs.end(body["jobId"])
    assert json.loads(job["Result"]) == {"body": "hello", "source": "http"}


def test_failed_and_timed_out_are_not_tried_again(jobs: Jobs) -> None:
    failed, late = jobs.submit("fails"), jobs.submit("late")
    job = jobs.end(failed)
    assert (job["State"], job["Error"]["Message"]) == ("failed", "not today")
    assert len(job["Attempts"]) == 1
    job = jobs.end(late)
    assert (job["State"], job["Outcome"], len(job["Attempts"])) == ("timed_out", "timeout", 1)


def test_errors_are_tried_again_where_the_function_says_so(jobs: Jobs) -> None:
    words = ("function", "set", "crashes", "--space", jobs.space)
    shown = jobs.cli(*words, "--attempts", "2", "--backoff", "0.1", "--retry-errors")
    assert shown["async"]["attempts"] == 2
    job_id = jobs.submit("crashes", {"n": 1})
    job = jobs.end(job_id)
    assert (job["State"], job["Outcome"], len(job["Attempts"])) == ("dead", "crashed", 2)
    assert job["Error"]["Blame"] == "function"
    listed = jobs.cli("dead", "list", "--space", jobs.space)
    assert job_id in [each["jobId"] for each in listed]
    assert jobs.cli("dead", "show", job_id)["state"] == "dead"

    # the reason is mended, then all are replayed
    files = {"index.js": "module.exports = async (ctx) => ctx.args.n + 1"}
    jobs.management.deploy(jobs.space, "crashes", files)
    told = jobs.cli("dead", "replay", "--all", "--space", jobs.space, "--function", "crashes")
    [again] = [each for each in told["jobs"] if each["replayOf"] == job_id]
    job = jobs.end(again["jobId"])
    assert (job["State"], job["Result"], job["ReplayOf"]) == ("succeeded", "2", job_id)
    before = [{**each, "first": False} for each in told["jobs"]]
    repeated = jobs.cli("dead", "replay", "--all", "--space", jobs.space)
    assert repeated == {"jobs": before, "left": []}
    one = jobs.cli("dead", "replay", job_id)
    assert one["jobId"] not in {job_id, again["jobId"]}
    jobs.end(one["jobId"])
    jobs.cli("dead", "drop", job_id)
    assert jobs.program.cli("dead", "show", job_id).returncode == 1
    assert jobs.cli("dead", "list", "--space", jobs.space, "--function", "crashes") == []


@pytest.mark.parametrize("n", [900, 2000, 5_000_000])
def test_a_result_is_whole_whatever_its_size(jobs: Jobs, n: int) -> None:
    job = jobs.end(jobs.submit("large", {"n": n}))
    assert job["State"] == "succeeded"
    assert json.loads(job["Result"]) == "x" * n


def test_arguments_are_whole_whatever_their_size(jobs: Jobs) -> None:
    for size in (980, 1_000_000):
        args = {"filler": "y" * size}
        job = jobs.end(jobs.submit("echo", args))
        assert json.loads(job["Result"])["args"] == args


def test_running_and_queued_jobs_are_cancelled(jobs: Jobs) -> None:
    running = [jobs.submit("waits", {"ms": 50_000}) for _ in range(3)]
    for job_id in running:
        jobs.until_running(job_id)
    waiting = jobs.submit("echo")  # every slot for jobs is taken
    assert jobs.job(waiting)["State"] == "queued"
    assert jobs.cli("job", "cancel", waiting)["state"] == "cancelled"
    for job_id in running:
        assert jobs.cli("job", "cancel", job_id)["state"] == "cancelled"
    # their slots are free again: the next one runs
    after = jobs.end(jobs.submit("echo"))
    assert after["State"] == "succeeded"
    assert jobs.job(waiting)["Attempts"] == []
    assert jobs.cli("job", "cancel", after["JobId"], code=1)["state"] == "succeeded"


def test_other_spaces_and_made_up_ids_have_no_job(jobs: Jobs) -> None:
    other, _ = jobs.management.space("others")
    job_id = jobs.submit("echo")
    for words in ((job_id, "--space", other), (f"job-{'0' * 44}",)):
        done = jobs.program.cli("job", "show", *words, "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)["error"]["code"] == "JobNotFound"


def test_a_deleted_function_takes_its_waiting_jobs_along(jobs: Jobs) -> None:
    jobs.management.deploy(jobs.space, "gone", {"index.js": FUNCTIONS["echo"]})
    running = [jobs.submit("waits", {"ms": 50_000}) for _ in range(3)]
    for job_id in running:
        jobs.until_running(job_id)
    waiting = jobs.submit("gone")
    jobs.cli("function", "delete", "gone", "--space", jobs.space, "--yes")
    for job_id in running:
        jobs.cli("job", "cancel", job_id)
    job = jobs.end(waiting)
    assert (job["State"], job["Outcome"]) == ("cancelled", "cancelled")
    assert "was deleted before" in job["Error"]["Message"]


def test_nothing_accepted_is_lost_by_a_kill(jobs: Jobs, tmp_path: Path) -> None:
    accepted = [jobs.submit("waits", {"ms": 300 if n % 2 else 5000}) for n in range(12)]
    jobs.until_running(accepted[0])
    jobs.program.kill()
    jobs.program.start()
    log = tmp_path / "accepted.txt"
    log.write_text("\n".join(accepted))
    words = ("ledger", "check", "--accepted", str(log), "--space", jobs.space)
    report = jobs.cli(*words, code=1)  # not all are over, and a broker's queue may hold some alone
    assert (report["accepted"], report["missingCount"]) == (12, 0)
    assert report["unendedCount"] + report["queuedCount"] > 0
    states = {job_id: jobs.end(job_id) for job_id in accepted}
    assert {job["State"] for job in states.values()} == {"succeeded"}
    assert max(len(job["Attempts"]) for job in states.values()) == 2
    for job in states.values():
        for attempt in job["Attempts"][:-1]:
            record = jobs.record(attempt["RequestId"])
            assert record["Outcome"] == "worker_lost", record
    report = jobs.cli(*words)
    assert (report["sound"], report["unended"], report["flawsCount"]) == (True, [], 0)
    assert jobs.cli("ledger", "check")["sound"] is True
    log.write_text("\n".join([*accepted, f"job-{'0' * 44}"]))
    done = jobs.program.cli(*words)
    assert done.returncode == 1
    assert "1 are missing" in done.stdout
