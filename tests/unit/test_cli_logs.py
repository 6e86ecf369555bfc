from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.client import PAGE_SIZE, ManagementClient
from runtime.cli.connection import Connection
from runtime.cli.logs import LogFilter, LogReader
from runtime.data_dir import AccessKey
from tests.unit.cli_support import (
    KEY_ID,
    SECRET,
    SPACE_ID,
    FakeManagement,
    RefusalError,
    Shell,
    serving,
)

START_MS = 1_795_227_104_000


class Records:
    """Records as the program lists them: newest first, by start."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, request_id: str, *lines: tuple[str, str], at: int | None = None) -> None:
        """`at`: place in the order of starts; default the newest."""
        row = {
            "SpaceId": SPACE_ID,
            "FunctionName": "greet",
            "RequestId": request_id,
            "Status": "SUCCESS",
            "Timestamps": [str(START_MS + place) for place in range(len(lines))],
            "Levels": [level for level, _ in lines],
            "Contents": [text for _, text in lines],
        }
        self.rows.insert(len(self.rows) if at is None else at, row)

    def answer(self, form: dict[str, str]) -> dict[str, Any]:
        size, number = int(form["PageSize"]), int(form["PageNum"])
        newest_first = self.rows[::-1]
        return {"DataList": newest_first[(number - 1) * size : number * size]}


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def fake(records: Records) -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        fake.answers |= {"ListFunctionLog": records.answer, "DescribeFunction": {"Function": {}}}
        yield fake


@pytest.fixture
def reader(fake: FakeManagement) -> LogReader:
    key = AccessKey(key_id=KEY_ID, secret=SECRET)
    client = ManagementClient(Connection(endpoint=fake.endpoint, key=key))
    return LogReader(client, LogFilter(space_id=SPACE_ID, function="greet"))


@pytest.fixture
def shell(fake: FakeManagement, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.announce(fake.endpoint)
    return shell


def test_lines_come_oldest_first_as_json(shell: Shell, records: Records) -> None:
    records.add("r1", ("INFO", "one"), ("WARN", "two 云函"))
    records.add("r2", ("ERROR", "three"))
    result = shell.run("logs", "greet", "--space", SPACE_ID, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["one", "two 云函", "three"]
    assert lines[1] == {
        "timeMs": START_MS + 1,
        "level": "warn",
        "requestId": "r1",
        "function": "greet",
        "text": "two 云函",
    }


def test_limit_counts_invocations_and_takes_the_newest(shell: Shell, records: Records) -> None:
    for number in range(5):
        records.add(f"r{number}", ("INFO", f"text {number}"))
    result = shell.run("logs", "greet", "--space", SPACE_ID, "--limit", "2")
    assert "text 2" not in result.stdout
    assert result.stdout.index("text 3") < result.stdout.index("text 4")


def test_newest_invocations_without_lines_are_not_all_there_is(
    shell: Shell, records: Records
) -> None:
    records.add("r0", ("INFO", "long ago"))
    records.add("r1")
    said = shell.run("logs", "greet", "--space", SPACE_ID, "--limit", "1").stderr
    assert said == "The newest invocation of greet has no log lines; --limit looks further back.\n"
    records.add("r2")
    said = shell.run("logs", "greet", "--space", SPACE_ID, "--limit", "2").stderr
    assert said.startswith("The newest 2 invocations of greet have no log lines;")
    records.rows = records.rows[1:]
    said = shell.run("logs", "greet", "--space", SPACE_ID, "--limit", "3").stderr
    assert said == "greet has no log lines.\n"


def test_level_is_the_lowest_that_is_shown(shell: Shell, records: Records) -> None:
    records.add("r1", ("DEBUG", "d"), ("INFO", "i"), ("WARN", "w"), ("ERROR", "e"))
    result = shell.run("logs", "greet", "--space", SPACE_ID, "--level", "warn", "--json")
    assert [json.loads(line)["level"] for line in result.stdout.splitlines()] == ["warn", "error"]


def test_filters_reach_the_program(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run(
        "logs",
        "greet",
        "--space",
        SPACE_ID,
        "--request-id=req-1",
        "--status=fail",
        "--since=2026-11-21T08:00+00:00",
        "--level=error",
    )
    assert result.exit_code == 0, result.output
    assert "has no log lines" in result.stderr
    asked = fake.asked("ListFunctionLog")[0]
    since = int(datetime(2026, 11, 21, 8, tzinfo=UTC).timestamp() * 1000)
    assert asked == {
        "SpaceId": SPACE_ID,
        "Name": "greet",
        "LogRequestId": "req-1",
        "Status": "FAIL",
        "Level": "error",
        "FromDate": str(since),
        "PageNum": "1",
        "PageSize": str(PAGE_SIZE),
    }


def test_a_function_that_never_was_is_an_error(
    shell: Shell, fake: FakeManagement, records: Records
) -> None:
    def refuse(_form: dict[str, str]) -> dict[str, str]:
        raise RefusalError("FunctionNotFound", "there is no function greet", 404)

    fake.answers["DescribeFunction"] = refuse
    result = shell.run("logs", "greet", "--space", SPACE_ID)
    assert result.exit_code == 1
    assert "there is no function greet" in result.stderr
    assert shell.run("logs", "greet", "--space", SPACE_ID, "--follow").exit_code == 1
    records.add("silent")
    assert shell.run("logs", "greet", "--space", SPACE_ID).exit_code == 0, "a deleted one"


def test_times_are_local_and_carry_their_offset(shell: Shell, records: Records) -> None:
    records.add("r1", ("INFO", "one"))
    local = datetime.fromtimestamp(START_MS / 1000).astimezone()
    told = shell.run("logs", "greet", "--space", SPACE_ID).stdout
    assert told.startswith(local.isoformat(" ", "milliseconds") + " ")


def test_since_takes_an_age(shell: Shell, fake: FakeManagement) -> None:
    before_ms = int(time.time() * 1000) - 600_000
    assert shell.run("logs", "greet", "--space", SPACE_ID, "--since", "10m").exit_code == 0
    after_ms = int(time.time() * 1000) - 600_000
    assert before_ms <= int(fake.asked("ListFunctionLog")[0]["FromDate"]) <= after_ms


@pytest.mark.parametrize("since", ["soon", "10", "-5m", "2026-13-01"])
def test_since_refuses_nonsense(shell: Shell, since: str) -> None:
    assert shell.run("logs", "greet", "--space", SPACE_ID, f"--since={since}").exit_code == 2


def test_fresh_gives_each_invocation_once(reader: LogReader, records: Records) -> None:
    records.add("old", ("INFO", "old"))
    reader.pass_over_present()
    assert [line.text for line in reader.newest(10)] == ["old"]
    assert reader.fresh() == []
    records.add("new1", ("INFO", "new 1"))
    records.add("new2", ("INFO", "new 2"))
    assert [line.text for line in reader.fresh()] == ["new 1", "new 2"]
    assert reader.fresh() == []


def test_fresh_finds_a_long_invocation_that_ended_late(reader: LogReader, records: Records) -> None:
    for number in range(PAGE_SIZE // 2):
        records.add(f"r{number}", ("INFO", f"text {number}"))
    reader.pass_over_present()
    records.add("late", ("INFO", "late"), at=0)
    assert [line.text for line in reader.fresh()] == ["late"]


def test_fresh_does_not_read_everything_again(
    reader: LogReader, records: Records, fake: FakeManagement
) -> None:
    for number in range(PAGE_SIZE * 3):
        records.add(f"r{number}", ("INFO", "text"))
    reader.pass_over_present()
    fake.calls.clear()
    assert reader.fresh() == []
    assert len(fake.calls) == 1


def test_follow_prints_what_comes_and_ends_with_ctrl_c(
    shell: Shell, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.add("r1", ("INFO", "first"))
    waits = 0

    def wait(_seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 2:
            raise KeyboardInterrupt
        records.add("r2", ("INFO", "second"))

    monkeypatch.setattr("runtime.cli.logs.time.sleep", wait)
    result = shell.run("logs", "greet", "--space", SPACE_ID, "--follow", "--json")
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["first", "second"]
    assert result.exit_code == 0
    assert result.stderr == ""
