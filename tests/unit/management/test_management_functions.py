"""Actions on functions through a real server, in both schemes."""

from typing import Any

import pytest

from runtime.services.functions import FunctionChange
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import NOW_ISO, Caller


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


@pytest.mark.parametrize("parameter", ["TimingTriggerConfig", "TimingTriggerUserPayload"])
async def test_timers_are_refused_clearly(call: Caller, bench: Bench, parameter: str) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    answer = await call(
        "UpdateFunction", SpaceId=SPACE_ID, Name="demo", Timeout=9, **{parameter: "/http/x"}
    )
    assert (answer.status, answer.code) == (400, f"InvalidParameter.{parameter}")
    assert "not available in this version" in answer.body["Message"]
    assert (await bench.functions.get(SPACE_ID, "demo")).timeout_s == 5
