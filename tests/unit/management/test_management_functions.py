"""Actions on functions through a real server, in both schemes."""

from dataclasses import replace
from typing import Any

import pytest

from runtime.ports import TimerState
from runtime.services.functions import FunctionChange
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import NOW_ISO, NOW_MS, Caller


async def test_create_function(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    answer = await call(
        "CreateFunction",
        SpaceId=SPACE_ID,
        Name="demo",
        Desc="测试",
        Runtime="nodejs14",
        Memory=256,
        Timeout=5,
    )
    assert answer.body == {
        "RequestId": answer.body["RequestId"],
        "Name": "demo",
        "Desc": "测试",
        "CreatedAt": NOW_ISO,
        "ModifiedAt": NOW_ISO,
        "Spec": {
            "Timeout": "5s",
            "Runtime": "Node.js 14",
            "Memory": "256 MB",
            "InstanceConcurrency": "1",
        },
    }
    again = await call("CreateFunction", SpaceId=SPACE_ID, Name="demo")
    assert (again.status, again.code) == (400, "FunctionAlreadyExists")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MissingName"),
        ({"Name": "1a"}, "InvalidParameter.Name"),
        ({"Name": "a" * 31}, "InvalidParameter.Name"),
        ({"Name": "a", "Memory": "x"}, "InvalidParameter.Memory"),
        ({"Name": "a", "Memory": 200}, "InvalidParameter.Memory"),
        ({"Name": "a", "Timeout": 7201}, "InvalidParameter.Timeout"),
        ({"Name": "a", "Runtime": "nodejs7"}, "InvalidParameter.Runtime"),
        ({"Name": "a", "InstanceConcurrency": 2}, "InvalidParameter.InstanceConcurrency"),
        ({"Name": "a", "Desc": "x" * 129}, "InvalidParameter.Desc"),
    ],
)
async def test_bad_functions_are_refused(
    call: Caller, bench: Bench, parameters: dict[str, Any], code: str
) -> None:
    await bench.add_space()
    answer = await call("CreateFunction", SpaceId=SPACE_ID, **parameters)
    assert (answer.status, answer.code) == (400, code)
    assert set(answer.body) == {"RequestId", "HostId", "Code", "Message"}
    assert (await bench.spaces.get(SPACE_ID)).functions == {}


ROW = {
    "Name": "demo",
    "Desc": "",
    "CreatedAt": NOW_ISO,
    "ModifiedAt": NOW_ISO,
    "HttpTriggerPath": "",
    "TimingTriggerConfig": "",
    "TimingTriggerUserPayload": "",
    "Spec": {
        "Runtime": "Node.js 18",
        "Memory": "512 MB",
        "Timeout": "10s",
        "InstanceConcurrency": 3,
    },
}


async def test_update_describe_list_and_delete_function(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    updated = await call(
        "UpdateFunction",
        SpaceId=SPACE_ID,
        Name="demo",
        Runtime="nodejs18",
        Memory=512,
        Timeout=10,
        InstanceConcurrency=3,
        HttpTriggerPath="",
        TimingTriggerConfig="",
    )
    assert updated.body == {"RequestId": updated.body["RequestId"], **ROW}
    described = await call("DescribeFunction", SpaceId=SPACE_ID, Name="demo")
    assert described.body == {"RequestId": described.body["RequestId"], "Function": ROW}
    listed = await call("ListFunction", SpaceId=SPACE_ID, FilterBy="EM")
    row = {name: value for name, value in ROW.items() if name != "TimingTriggerUserPayload"}
    assert listed.body == {
        "RequestId": listed.body["RequestId"],
        "DataList": [row],
        "Paginator": {"PageNum": 1, "PageSize": 10, "Total": 1, "PageCount": 1},
    }
    none = await call("ListFunction", SpaceId=SPACE_ID, FilterBy="a b!'()*~中文&=+/%")
    assert none.body["DataList"] == []
    assert none.body["Paginator"]["PageCount"] == 0
    assert (await call("DeleteFunction", SpaceId=SPACE_ID, Name="demo")).status == 200
    for action in ("DescribeFunction", "UpdateFunction", "DeleteFunction"):
        gone = await call(action, SpaceId=SPACE_ID, Name="demo")
        assert (gone.status, gone.code) == (404, "FunctionNotFound")


@pytest.mark.parametrize(
    ("parameter", "value", "problem"),
    [
        ("TimingTriggerConfig", "0 * * * *", "character 10: 5 fields"),
        ("TimingTriggerConfig", "cron:0 61 * * * *", "character 8: '61' is no minute"),
        ("TimingTriggerConfig", "* * * * * *", "at most once a minute"),
        ("TimingTriggerUserPayload", "x" * 4097, "at most 4096 characters"),
    ],
)
async def test_bad_timers_are_refused_and_change_nothing(
    call: Caller, bench: Bench, parameter: str, value: str, problem: str
) -> None:
    await bench.add_space()
    before = await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    answer = await call(
        "UpdateFunction", SpaceId=SPACE_ID, Name="demo", Timeout=9, **{parameter: value}
    )
    assert (answer.status, answer.code) == (400, f"InvalidParameter.{parameter}")
    assert problem in answer.body["Message"]
    assert await bench.functions.get(SPACE_ID, "demo") == before
    created = await call("CreateFunction", SpaceId=SPACE_ID, Name="other", **{parameter: value})
    assert (created.status, created.code) == (400, f"InvalidParameter.{parameter}")


async def test_timers_are_set_told_kept_and_switched_off(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    await call("CreateFunction", SpaceId=SPACE_ID, Name="demo", TimingTriggerConfig="0 0 * * * *")
    assert (await bench.functions.get(SPACE_ID, "demo")).timer_set_ms == bench.clock.now_ms()
    timer = {
        "TimingTriggerConfig": "cron:0 30 8 ? * MON-FRI *",
        "TimingTriggerUserPayload": '{"a": "测试"}',
    }
    bench.clock.advance(60)
    updated = await call("UpdateFunction", SpaceId=SPACE_ID, Name="demo", **timer)
    set_ms = bench.clock.now_ms()
    assert {name: updated.body[name] for name in timer} == timer
    bench.clock.advance(60)
    await call("UpdateFunction", SpaceId=SPACE_ID, Name="demo", Timeout=9, **timer)
    assert (await bench.functions.get(SPACE_ID, "demo")).timer_set_ms == set_ms
    described = await call("DescribeFunction", SpaceId=SPACE_ID, Name="demo")
    assert {name: described.body["Function"][name] for name in timer} == timer
    (row,) = (await call("ListFunction", SpaceId=SPACE_ID)).body["DataList"]
    assert row["TimingTriggerConfig"] == timer["TimingTriggerConfig"]
    assert "TimingTriggerUserPayload" not in row
    off = await call("UpdateFunction", SpaceId=SPACE_ID, Name="demo", TimingTriggerConfig="")
    assert off.body["TimingTriggerConfig"] == ""
    assert off.body["TimingTriggerUserPayload"] == timer["TimingTriggerUserPayload"]
    assert list(await bench.control.timers()) == []


async def test_timers_of_a_space_with_next_ticks_and_counts(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "plain", FunctionChange())
    for name in ("b", "a"):
        wanted = FunctionChange(timer_cron="0 0 8 * * *", timer_payload=name)
        await bench.functions.create(SPACE_ID, name, wanted)
    set_ms = bench.clock.now_ms()
    state = TimerState(
        set_ms=set_ms, seen_ms=set_ms, fired=3, missed=2, skipped=1, fired_ms=NOW_MS, job_id="job-1"
    )
    assert await bench.timer_states.replace((SPACE_ID, "a"), None, state)
    older = replace(state, set_ms=set_ms - 1)
    assert await bench.timer_states.replace((SPACE_ID, "b"), None, older)
    listed = await call("YunhanListTimers", SpaceId=SPACE_ID, Next=2)
    common = {"TimingTriggerConfig": "0 0 8 * * *", "SetAt": NOW_ISO, "Deployed": False}
    ticks = ["2026-11-22T00:00:00.000Z", "2026-11-23T00:00:00.000Z"]
    assert listed.body["Timers"] == [
        {
            **common,
            "Name": "a",
            "TimingTriggerUserPayload": "a",
            "Next": ticks,
            "Fired": 3,
            "Missed": 2,
            "Skipped": 1,
            "LastTick": NOW_ISO,
            "LastJobId": "job-1",
        },
        {
            **common,
            "Name": "b",
            "TimingTriggerUserPayload": "b",
            "Next": ticks,
            "Fired": 0,
            "Missed": 0,
            "Skipped": 0,
        },
    ]
    one = await call("YunhanListTimers", SpaceId=SPACE_ID, Name="b")
    assert [row["Name"] for row in one.body["Timers"]] == ["b"]
    assert len(one.body["Timers"][0]["Next"]) == 3
    assert (await call("YunhanListTimers", SpaceId=SPACE_ID, Next=101)).status == 400
    assert (await call("YunhanListTimers", SpaceId="mp-nobody")).status == 404
