"""`yunhan function set --timer`, `yunhan function show` and `yunhan timer list`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.cli_support import SPACE_ID, FakeManagement, Shell, function_row, serving

CRON = "0 30 8 * * MON-FRI"


def timer_row(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "TimingTriggerConfig": CRON,
        "TimingTriggerUserPayload": "说 hi",
        "SetAt": "2026-11-21T02:11:44.462Z",
        "Deployed": True,
        "Next": ["2026-11-23T00:30:00.000Z", "2026-11-24T00:30:00.000Z"],
        "Fired": 3,
        "Missed": 2,
        "Skipped": 1,
        "LastTick": "2026-11-20T00:30:00.000Z",
        "LastJobId": "job-1",
        **changes,
    }


def new_row(name: str) -> dict[str, Any]:
    """A timer that never ticked, of a function without code."""
    row = timer_row(name, Deployed=False, Fired=0, Missed=0, Skipped=0, TimingTriggerUserPayload="")
    return {key: value for key, value in row.items() if not key.startswith("Last")}


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        function = {**function_row("greet"), "TimingTriggerConfig": CRON}
        fake.answers |= {
            "YunhanDescribeServer": {"NodeVersions": [14]},
            "UpdateFunction": {},
            "DescribeFunction": {"Function": function},
            "YunhanListTimers": {"Timers": [timer_row("greet")]},
        }
        yield fake


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["--timer", CRON], {"TimingTriggerConfig": CRON}),
        (
            ["--timer", CRON, "--timer-payload", "说 hi"],
            {"TimingTriggerConfig": CRON, "TimingTriggerUserPayload": "说 hi"},
        ),
        (["--timer-payload", ""], {"TimingTriggerUserPayload": ""}),
        (["--no-timer"], {"TimingTriggerConfig": ""}),
    ],
)
def test_set_sends_what_is_given(
    shell: Shell, fake: FakeManagement, options: list[str], sent: dict[str, str]
) -> None:
    result = shell.run("function", "set", "greet", "--space", SPACE_ID, *options)
    assert result.exit_code == 0, result.output
    assert fake.asked("UpdateFunction") == [{"SpaceId": SPACE_ID, "Name": "greet", **sent}]


def test_a_timer_and_none_is_wrong_usage(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run(
        "function", "set", "greet", "--space", SPACE_ID, "--timer", CRON, "--no-timer"
    )
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr
    assert fake.calls == []


def test_show_tells_the_timer(shell: Shell, fake: FakeManagement) -> None:
    shown = shell.run("function", "show", "greet", "--space", SPACE_ID)
    assert shown.exit_code == 0, shown.output
    assert f"{CRON} (UTC+8)" in shown.stdout
    assert "说 hi" in shown.stdout
    assert "job job-1" in shown.stdout
    assert "3 fired, 2 missed, 1 skipped" in shown.stdout
    assert fake.asked("YunhanListTimers") == [{"SpaceId": SPACE_ID, "Name": "greet"}]
    as_json = shell.run("function", "show", "greet", "--space", SPACE_ID, "--json")
    assert json.loads(as_json.stdout)["timer"] == CRON


def test_show_without_a_timer_asks_no_more(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["DescribeFunction"] = {"Function": function_row("greet")}
    shown = shell.run("function", "show", "greet", "--space", SPACE_ID)
    assert "none" in next(line for line in shown.stdout.splitlines() if line.startswith("Timer"))
    assert fake.asked("YunhanListTimers") == []


def test_list_for_people_and_for_scripts(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["YunhanListTimers"] = {"Timers": [timer_row("greet"), new_row("new")]}
    listed = shell.run("timer", "list", "--space", SPACE_ID, "--next", "2")
    assert listed.exit_code == 0, listed.output
    head, greet, new = listed.stdout.splitlines()
    assert head.split()[0] == "Function"
    assert CRON in greet
    assert greet.index("3  ") < greet.index("2026-11-23")
    assert "none" in new
    assert "new has no code" in listed.stderr
    assert fake.asked("YunhanListTimers") == [{"SpaceId": SPACE_ID, "Next": "2"}]
    as_json = shell.run("timer", "list", "--space", SPACE_ID, "--json")
    first, second = json.loads(as_json.stdout)
    assert first == {
        "function": "greet",
        "cron": CRON,
        "payload": "说 hi",
        "deployed": True,
        "next": ["2026-11-23T00:30:00.000Z", "2026-11-24T00:30:00.000Z"],
        "lastTick": "2026-11-20T00:30:00.000Z",
        "lastJobId": "job-1",
        "fired": 3,
        "missed": 2,
        "skipped": 1,
    }
    assert (second["lastTick"], second["lastJobId"]) == (None, None)
