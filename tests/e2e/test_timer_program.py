"""A timer of a running program: set, run by the clock, told, switched off."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness.management import Management
from tests.harness.polling import poll
from tests.harness.program import Program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

SOURCE = "module.exports = async (ctx) => { console.log(JSON.stringify([ctx.args, ctx.env])); };"


def logged(management: Management, space_id: str) -> list[Any]:
    """What the function's runs printed."""
    rows = management.call("ListFunctionLog", SpaceId=space_id, Name="ticks")["DataList"]
    return [json.loads(text) for row in rows for text in row["Contents"]]


def test_timer_runs_its_function_at_the_tick(program: Program, management: Management) -> None:
    space_id, _ = management.space("timers")
    management.deploy(space_id, "ticks", {"index.js": SOURCE})
    due = datetime.now(UTC) + timedelta(seconds=6)
    cron = f"cron:{due.second} * * * * * *"
    management.call(
        "UpdateFunction",
        SpaceId=space_id,
        Name="ticks",
        TimingTriggerConfig=cron,
        TimingTriggerUserPayload="说 hi",
    )
    ((args, env),) = poll(lambda: logged(management, space_id), 60)
    assert args == {
        "userPayload": "说 hi",
        "triggerTime": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "triggerName": "timer",
    }
    assert env["MP_SOURCE"] == "timing"
    (timer,) = json.loads(program.cli("timer", "list", "--space", space_id, "--json").stdout)
    assert (timer["cron"], timer["missed"], timer["skipped"]) == (cron, 0, 0)
    assert timer["lastTick"] == due.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    job = program.cli("job", "show", timer["lastJobId"], "--space", space_id, "--json")
    assert json.loads(job.stdout)["state"] == "succeeded", job
    off = program.cli("function", "set", "ticks", "--space", space_id, "--no-timer", "--json")
    assert json.loads(off.stdout)["timer"] == ""
    assert json.loads(program.cli("timer", "list", "--space", space_id, "--json").stdout) == []
