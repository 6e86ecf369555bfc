"""`yunhan invoke --async`, `job`, `dead` and `ledger`, against a scripted program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import dead, invoke_async, ledger
from tests.unit.cli_support import SPACE_ID, FakeManagement, RefusalError, Shell, serving

AT = "2026-11-21T02:11:44.462Z"
JOB = "job-1"
ROW: dict[str, Any] = {
    "SpaceId": SPACE_ID,
    "JobId": JOB,
    "State": "dead",
    "Name": "greet",
    "Source": "server",
    "AcceptedAt": AT,
    "StartedAt": AT,
    "ChangedAt": AT,
    "EndedAt": AT,
    "NotBefore": None,
    "AttemptsMade": 1,
    "AttemptsMax": 3,
    "ReplayOf": None,
    "RequestId": "r-1",
    "Outcome": "sandbox_lost",
    "Error": {"Code": "FunctionServerError", "Message": "the disk is full", "Blame": "ours"},
}
ATTEMPT = {
    "Number": 1,
    "RequestId": "r-1",
    "WorkerId": "w1",
    "StartedAt": AT,
    "EndedAt": AT,
    "Outcome": "sandbox_lost",
}
FULL = {**ROW, "Attempts": [ATTEMPT], "Bill": {"RunMs": 1.5}, "IdempotencyKey": "k"}
OK = {
    **{name: value for name, value in FULL.items() if name != "Error"},
    "State": "succeeded",
    "Outcome": "ok",
    "Result": '{"a": "b"}',
}
SOUND: dict[str, Any] = {
    "Sound": True,
    "States": {"queued": 0, "dead": 2},
    "Flaws": [],
    "FlawsCount": 0,
    "Accepted": 0,
    "Dropped": 0,
    "Missing": [],
    "MissingCount": 0,
    "Queued": [],
    "QueuedCount": 0,
    "Unended": [],
    "UnendedCount": 0,
    "Double": [],
    "DoubleCount": 0,
}


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        fake.answers |= {
            "YunhanInvokeAsync": {"JobId": JOB, "First": True},
            "YunhanDescribeJob": {"Job": FULL},
            "YunhanCancelJob": {"Job": {**FULL, "State": "cancelled"}},
            "YunhanListJobs": {"DataList": [ROW], "Paginator": {}},
            "YunhanReplayJob": {"JobId": "job-2", "ReplayOf": JOB, "First": True},
            "YunhanDropJob": {"JobId": JOB},
            "YunhanCheckLedger": SOUND,
        }
        yield fake


@pytest.fixture
def shell(fake: FakeManagement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr(invoke_async, "_LOOK_FIRST_S", 0.0)
    monkeypatch.setattr(dead, "_REFUSED_WAIT_S", 0.0)
    shell = Shell(tmp_path / "data")
    shell.announce(fake.endpoint)
    return shell


INVOKE = ("invoke", "greet", "--space", SPACE_ID, "--async")


def test_a_job_is_made_and_its_id_alone_is_on_stdout(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run(*INVOKE, "--args", '{"a":1}', "--idempotency-key", "k")
    assert (result.exit_code, result.stdout) == (0, f"{JOB}\n")
    assert "yunhan job show job-1" in result.stderr
    assert fake.asked("YunhanInvokeAsync") == [
        {"SpaceId": SPACE_ID, "Name": "greet", "Args": '{"a":1}', "IdempotencyKey": "k"}
    ]
    result = shell.run(*INVOKE, "--json")
    assert json.loads(result.stdout) == {"success": True, "jobId": JOB, "first": True}
    assert "IdempotencyKey" not in fake.asked("YunhanInvokeAsync")[1]


def test_wait_asks_until_the_job_is_over(shell: Shell, fake: FakeManagement) -> None:
    queued = {"SpaceId": SPACE_ID, "JobId": JOB, "State": "queued", "AcceptedAt": AT}
    answers = [queued, {**OK, "State": "running"}, OK]
    fake.answers["YunhanDescribeJob"] = lambda _: {"Job": answers.pop(0)}
    result = shell.run(*INVOKE, "--wait", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["state"], told["result"], told["first"]) == ("succeeded", {"a": "b"}, True)
    assert answers == []
    fake.answers["YunhanDescribeJob"] = {"Job": FULL}
    result = shell.run(*INVOKE, "--wait")
    assert result.exit_code == 1
    assert "sandbox_lost: the disk is full" in result.stdout


@pytest.mark.parametrize("words", [("--wait",), ("--idempotency-key", "k")])
def test_what_goes_with_async_only(
    shell: Shell, fake: FakeManagement, words: tuple[str, ...]
) -> None:
    assert shell.run("invoke", "greet", "--space", SPACE_ID, *words).exit_code == 2
    assert fake.calls == []


def test_a_refusal_is_told(shell: Shell, fake: FakeManagement) -> None:
    def refuse(_form: dict[str, str]) -> dict[str, Any]:
        raise RefusalError("Throttling.Api.Concurrency", "the queue is full", 503)

    fake.answers["YunhanInvokeAsync"] = refuse
    result = shell.run(*INVOKE, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == "Throttling.Api.Concurrency"


def test_show_tells_attempts_and_result(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("job", "show", JOB)
    assert result.exit_code == 0, result.output
    for words in (
        "dead",
        "sandbox_lost: the disk is full",
        "1 of 3",
        "w1",
        "r-1",
        "greet",
        "ran 2 ms",
    ):
        assert words in result.stdout
    assert fake.asked("YunhanDescribeJob") == [{"JobId": JOB}]
    fake.answers["YunhanDescribeJob"] = {"Job": OK}
    result = shell.run("job", "show", JOB, "--space", SPACE_ID)
    assert '"a": "b"' in result.stdout
    assert fake.asked("YunhanDescribeJob")[1] == {"JobId": JOB, "SpaceId": SPACE_ID}
    told = json.loads(shell.run("job", "show", JOB, "--json").stdout)
    assert (told["function"], told["result"], told["bill"]) == ("greet", {"a": "b"}, {"runMs": 1.5})
    assert told["attempts"][0]["workerId"] == "w1"


def test_a_job_in_the_queue_is_shown(shell: Shell, fake: FakeManagement) -> None:
    job = {"SpaceId": SPACE_ID, "JobId": JOB, "State": "queued", "AcceptedAt": AT}
    fake.answers["YunhanDescribeJob"] = {"Job": job}
    result = shell.run("job", "show", JOB)
    assert result.exit_code == 0, result.output
    assert "queued" in result.stdout
    assert "No worker has taken it yet" in result.stderr


def test_cancel_says_whether_it_was_in_time(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("job", "cancel", JOB)
    assert (result.exit_code, result.stderr) == (0, f"Job {JOB} is cancelled.\n")
    fake.answers["YunhanCancelJob"] = {"Job": FULL}
    result = shell.run("job", "cancel", JOB)
    assert (result.exit_code, result.stderr) == (1, f"Job {JOB} was over before: dead.\n")


def test_lists(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("job", "list", "--space", SPACE_ID, "--state", "dead", "--state", "failed")
    assert result.exit_code == 0, result.output
    assert "1/3" in result.stdout
    [asked] = fake.asked("YunhanListJobs")
    assert (asked["State.1"], asked["State.2"]) == ("dead", "failed")
    told = json.loads(
        shell.run("dead", "list", "--space", SPACE_ID, "--function", "greet", "--json").stdout
    )
    assert [job["jobId"] for job in told] == [JOB]
    asked = fake.asked("YunhanListJobs")[1]
    assert (asked["State.1"], asked["Name"]) == ("dead", "greet")


def test_a_dead_job_is_shown_replayed_and_dropped(shell: Shell, fake: FakeManagement) -> None:
    assert shell.run("dead", "show", JOB).exit_code == 0
    result = shell.run("dead", "replay", JOB)
    assert (result.exit_code, result.stdout) == (0, "job-2\n")
    assert fake.asked("YunhanReplayJob") == [{"JobId": JOB, "Once": "false"}]
    assert fake.asked("YunhanDropJob") == []
    assert shell.run("dead", "drop", JOB).exit_code == 0
    assert fake.asked("YunhanDropJob") == [{"JobId": JOB}]
    fake.answers["YunhanDescribeJob"] = {"Job": OK}
    assert shell.run("dead", "show", JOB).exit_code == 1


def test_all_are_replayed_and_what_is_left_is_told(shell: Shell, fake: FakeManagement) -> None:
    rows = [{**ROW, "JobId": f"job-{n}"} for n in range(4)]
    fake.answers["YunhanListJobs"] = {"DataList": rows, "Paginator": {}}
    busy = [1, 1]

    def replay(form: dict[str, str]) -> dict[str, Any]:
        if form["JobId"] == "job-1":
            raise RefusalError("FunctionNotFound", "there is no function greet", 404)
        if form["JobId"] == "job-2" and busy:
            busy.pop()
            raise RefusalError("Throttling.Api.Concurrency", "full", 503)
        return {"JobId": f"new-{form['JobId']}", "First": form["JobId"] != "job-3"}

    fake.answers["YunhanReplayJob"] = replay
    result = shell.run("dead", "replay", "--all", "--space", SPACE_ID, "--drop", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [(each["replayOf"], each["first"]) for each in told["jobs"]] == [
        ("job-0", True),
        ("job-2", True),
        ("job-3", False),
    ]
    assert [(each["jobId"], each["code"]) for each in told["left"]] == [
        ("job-1", "FunctionNotFound")
    ]
    assert {each["Once"] for each in fake.asked("YunhanReplayJob")} == {"true"}
    assert [each["JobId"] for each in fake.asked("YunhanDropJob")] == ["job-0", "job-2", "job-3"]
    result = shell.run("dead", "replay", "--all", "--space", SPACE_ID)
    assert result.stderr.startswith("2 dead jobs are replayed.\n1 more were replayed before.\n")


def test_all_are_dropped_when_that_is_meant(shell: Shell, fake: FakeManagement) -> None:
    words = ("dead", "drop", "--all", "--space", SPACE_ID, "--function", "greet")
    assert shell.run(*words, "--json").exit_code == 1
    assert fake.asked("YunhanDropJob") == []
    result = shell.run(*words, "--yes")
    assert (result.exit_code, result.stderr) == (0, "1 dead jobs are dropped.\n")
    assert fake.asked("YunhanListJobs")[0]["Name"] == "greet"


@pytest.mark.parametrize(
    "words",
    [
        ("dead", "replay"),
        ("dead", "replay", "--all"),
        ("dead", "replay", JOB, "--all", "--space", SPACE_ID),
        ("dead", "drop", JOB, "--function", "greet"),
        ("dead", "drop"),
        ("job", "list"),
        ("job", "list", "--space", SPACE_ID, "--state", "odd"),
        ("job", "show"),
        ("invoke", "greet", "--space", SPACE_ID, "--async", "--idempotency-key", ""),
    ],
)
def test_wrong_usage_asks_nothing(
    shell: Shell, fake: FakeManagement, words: tuple[str, ...]
) -> None:
    assert shell.run(*words).exit_code == 2
    assert fake.calls == []


def test_a_sound_ledger(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("ledger", "check")
    assert (result.exit_code, result.stderr) == (0, "The ledger is sound.\n")
    assert fake.asked("YunhanCheckLedger") == [{"ToleranceS": "60", "Accepted": ""}]


def test_a_log_of_accepted_jobs_is_compared_part_by_part(
    shell: Shell, fake: FakeManagement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "IDS_PER_CALL", 2)

    def check(form: dict[str, str]) -> dict[str, Any]:
        ids = form["Accepted"].splitlines()
        lost = [job_id for job_id in ids if job_id == "b"]
        return {
            **SOUND,
            "Sound": not lost,
            "Accepted": len(ids),
            "Missing": lost,
            "MissingCount": len(lost),
            "Queued": [job_id for job_id in ids if job_id == "e"],
            "QueuedCount": ids.count("e"),
        }

    fake.answers["YunhanCheckLedger"] = check
    log = tmp_path / "accepted.txt"
    log.write_text("a\nb\n\na\nc\n d \ne\n")
    result = shell.run("ledger", "check", "--accepted", str(log), "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["sound"], told["accepted"]) == (False, 5)
    assert (told["missing"], told["missingCount"]) == (["b"], 1)
    assert (told["double"], told["doubleCount"]) == (["a"], 1)
    assert len(fake.asked("YunhanCheckLedger")) == 3
    result = shell.run("ledger", "check", "--accepted", str(log))
    assert "1 are missing:\n  b\n" in result.stdout
    assert "1 wait in the queue:\n  e\n" in result.stdout
    assert "NOT sound" in result.stderr


def test_settings_of_a_function(shell: Shell, fake: FakeManagement) -> None:
    from tests.unit.cli_support import function_row

    fake.answers |= {
        "YunhanUpdateFunctionAsync": {},
        "YunhanDescribeServer": {"NodeVersions": [24]},
        "DescribeFunction": {
            "Function": function_row("greet"),
            "Async": {
                "Attempts": 5,
                "BackoffMs": 500,
                "BackoffLongestMs": 60_000,
                "RetryErrors": True,
                "Http": True,
                "Own": [],
            },
        },
    }
    words = ("--attempts", "5", "--backoff", "0.5", "--backoff-longest", "60", "--retry-errors")
    result = shell.run("function", "set", "greet", "--space", SPACE_ID, *words, "--http-async")
    assert result.exit_code == 0, result.output
    assert fake.asked("YunhanUpdateFunctionAsync") == [
        {
            "SpaceId": SPACE_ID,
            "Name": "greet",
            "Attempts": "5",
            "BackoffMs": "500",
            "BackoffLongestMs": "60000",
            "RetryErrors": "true",
            "Http": "true",
        }
    ]
    assert fake.asked("UpdateFunction") == []
    assert "5 attempts, 0.5 to 60 s apart" in result.stdout
    assert "also by its HTTP trigger" in result.stdout
    shell.run("function", "set", "greet", "--space", SPACE_ID, "--no-http-async")
    asked = fake.asked("YunhanUpdateFunctionAsync")[1]
    assert asked == {"SpaceId": SPACE_ID, "Name": "greet", "Http": "false"}
    told = json.loads(shell.run("function", "show", "greet", "--space", SPACE_ID, "--json").stdout)
    assert told["async"] == {
        "attempts": 5,
        "backoffS": 0.5,
        "backoffLongestS": 60.0,
        "retryErrors": True,
        "http": True,
    }
