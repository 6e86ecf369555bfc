"""Every action through a real server, in both schemes: shapes, types, errors."""

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from pydantic import SecretStr

from runtime.errors import OverloadedError
from runtime.gateway.management.parameters import Parameters
from runtime.gateway.management.registry import ACTIONS
from runtime.messages import Bill, Outcome, Source, SpaceStatus
from runtime.services.functions import FunctionChange
from runtime.settings import Settings
from sandbox.api import Fault, LogLevel, LogLine, OutcomeKind
from tests.unit.management_support import (
    NOW_ISO,
    NOW_MS,
    SPACE_ID,
    Bench,
    Caller,
    Invocation,
    as_upload,
    make_caller,
    make_record,
    make_zip,
)

UUID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def url(bench: Bench, tmp_path: Path) -> AsyncIterator[str]:
    async with bench.serve(tmp_path) as base:
        yield base


@pytest.fixture(params=["rpc-get", "rpc-post", "acs3"])
async def call(request: pytest.FixtureRequest, bench: Bench, url: str) -> AsyncIterator[Caller]:
    async with ClientSession() as session:
        yield make_caller(request.param, session, url, bench.clock)


async def test_every_answer_carries_a_request_id(call: Caller) -> None:
    for answer in (await call("ListSpace"), await call("NoSuchAction")):
        assert UUID.fullmatch(answer.body["RequestId"])
        assert answer.headers["request-id"] == answer.body["RequestId"]
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_create_space_and_its_keys(call: Caller, bench: Bench, url: str) -> None:
    created = await call("CreateSpace", Name="小程序", Desc="测试", WorkspaceId=1)
    assert created.status == 200
    assert set(created.body) == {"RequestId", "SpaceId"}
    space_id = created.body["SpaceId"]
    brief = await call("DescribeSpaceClientConfig", SpaceId=space_id)
    keys = bench.spaces.open_keys(await bench.spaces.get(space_id))
    assert brief.body == {
        "RequestId": brief.body["RequestId"],
        "SpaceId": space_id,
        "Name": "小程序",
        "ApiKey": keys.client_secret,
        "Endpoint": url,
        "FileUploadEndpoint": url.removeprefix("http://"),
    }
    full = await call("DescribeSpaceClientConfig", SpaceId=space_id, Detail=True)
    assert full.body["PrivateKey"] == keys.private_key_pem
    assert "\n" in full.body["PrivateKey"]
    assert (await call("ResetServerSecret", SpaceId=space_id)).status == 200
    after = await call("DescribeSpaceClientConfig", SpaceId=space_id, Detail="true")
    assert after.body["PrivateKey"] != full.body["PrivateKey"]
    assert after.body["ApiKey"] == full.body["ApiKey"]
    assert len(base64.b64decode(after.body["ApiKey"])) == 16


async def test_list_space(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    bench.clock.advance(60)
    await bench.add_space("mp-2", name="second")
    await bench.add_space("mp-3", name="third")
    await bench.spaces.update("mp-3", status=SpaceStatus.PAUSED)
    answer = await call("ListSpace", SpaceIds=[SPACE_ID, "mp-3", "mp-none"], PageSize=1, PageNum=2)
    assert answer.body == {
        "RequestId": answer.body["RequestId"],
        "Count": 2,
        "GmtCreate": "2026-11-21T02:12:44.462Z",
        "Spaces": [
            {
                "SpaceId": SPACE_ID,
                "Name": "compat",
                "Desc": "",
                "Status": "RUNNING",
                "GmtCreate": NOW_MS,
                "GmtLastAccess": NOW_MS,
            }
        ],
    }
    everything = await call("ListSpace")
    assert everything.body["Count"] == 3
    assert {each["Status"] for each in everything.body["Spaces"]} == {"RUNNING", "PAUSED"}


async def test_describe_spaces(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    answer = await call("DescribeSpaces", SpaceIds=[SPACE_ID], SpecCode="x", EmasWorkspaceId=1)
    (space,) = answer.body["Spaces"]
    assert answer.body["Count"] == 1
    assert space["GmtCreate"] == space["GmtModified"] == NOW_ISO
    assert (space["ServiceStatus"], space["SpaceId"]) == ("RUNNING", SPACE_ID)
    assert space["AutoRenew"] is False
    texts = {name: value for name, value in space.items() if name != "AutoRenew"}
    assert all(isinstance(value, str) for value in texts.values())
    assert set(space) == {
        *("AutoRenew", "ChargeType", "Description", "EmasWorkspaceId", "GmtCreate"),
        *("GmtModified", "InstanceId", "Name", "OrderType", "PackageEndDate"),
        *("PackageStartDate", "PackageStatus", "RenewDuration", "ServiceStatus"),
        *("SpaceId", "SpecCode"),
    }


async def test_update_and_delete_space(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    answer = await call("UpdateSpace", SpaceId=SPACE_ID, Status="PAUSED", Desc="new")
    assert answer.body == {"RequestId": answer.body["RequestId"]}
    space = await bench.spaces.get(SPACE_ID)
    assert (space.status, space.desc) == (SpaceStatus.PAUSED, "new")
    await call("UpdateSpace", SpaceId=SPACE_ID, Status="RUNNING")
    assert (await bench.spaces.get(SPACE_ID)).desc == "new"
    assert (await call("UpdateSpace", SpaceId=SPACE_ID, Status="GONE")).code == (
        "InvalidParameter.Status"
    )
    deleted = await call("DeleteSpace", SpaceId=SPACE_ID)
    assert deleted.body == {"RequestId": deleted.body["RequestId"]}
    again = await call("DeleteSpace", SpaceId=SPACE_ID)
    assert (again.status, again.code) == (404, "InvalidSpaceId.NotFound")


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
    "parameter", ["HttpTriggerPath", "TimingTriggerConfig", "TimingTriggerUserPayload"]
)
async def test_triggers_are_refused_clearly(call: Caller, bench: Bench, parameter: str) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    answer = await call(
        "UpdateFunction", SpaceId=SPACE_ID, Name="demo", Timeout=9, **{parameter: "/http/x"}
    )
    assert (answer.status, answer.code) == (400, f"InvalidParameter.{parameter}")
    assert "not available in this version" in answer.body["Message"]
    assert (await bench.functions.get(SPACE_ID, "demo")).timeout_s == 5


async def test_a_deployment_from_its_address_to_the_rollback(
    call: Caller, bench: Bench, url: str
) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    ids = []
    async with ClientSession() as session:
        for code in (make_zip(), make_zip({"index.js": "// two"})):
            bench.clock.advance(1)
            made = await call("CreateFunctionDeployment", SpaceId=SPACE_ID, Name="demo")
            assert set(made.body) == {"RequestId", "DeploymentId", "UploadSignedUrl"}
            ids.append(made.body["DeploymentId"])
            early = await call("DeployFunction", SpaceId=SPACE_ID, DeploymentId=ids[-1])
            assert (early.status, early.code) == (400, "InvalidDeployment.NotUploaded")
            assert made.body["UploadSignedUrl"].startswith(f"{url}/oss/deployments/{ids[-1]}.zip?")
            async with session.put(made.body["UploadSignedUrl"], data=code) as response:
                assert response.status == 200
            deployed = await call("DeployFunction", SpaceId=SPACE_ID, DeploymentId=ids[-1])
            assert deployed.body == {"RequestId": deployed.body["RequestId"]}
        described = await call("DescribeFunction", SpaceId=SPACE_ID, Name="demo")
        live = described.body["Deployment"]
        assert set(live) == {
            *("CreatedAt", "DeploymentId", "DownloadSignedUrl", "ModifiedAt", "VersionNo")
        }
        assert live["DeploymentId"] == ids[1]
        assert live["VersionNo"].isdigit()
        async with session.get(live["DownloadSignedUrl"]) as response:
            assert await response.read() == make_zip({"index.js": "// two"})
    await call("DeployFunction", SpaceId=SPACE_ID, DeploymentId=ids[0])
    rolled_back = await call("DescribeFunction", SpaceId=SPACE_ID, Name="demo")
    assert rolled_back.body["Deployment"]["DeploymentId"] == ids[0]


async def test_list_function_deployment(call: Caller, bench: Bench, tmp_path: Path) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    good = await bench.deployments.create(SPACE_ID, "demo")
    await bench.packages.accept(SPACE_ID, good.deployment_id, as_upload(tmp_path, make_zip()))
    await bench.deployments.deploy(SPACE_ID, good.deployment_id)
    bench.clock.advance(1)
    bad = await bench.deployments.create(SPACE_ID, "demo")
    with pytest.raises(Exception, match="zip"):
        await bench.packages.accept(SPACE_ID, bad.deployment_id, as_upload(tmp_path, b"x"))
    answer = await call("ListFunctionDeployment", SpaceId=SPACE_ID, Name="demo")
    first, second = answer.body["DataList"]
    assert answer.body["Paginator"] == {"PageNum": 1, "PageSize": 10, "Total": 2, "PageCount": 1}
    assert first["DeploymentId"] == bad.deployment_id
    assert first["Status"]["Status"] == "DEPLOY_FAILED"
    assert "zip" in first["Status"]["Label"]
    assert first["DownloadSignedUrl"] == ""
    assert second == {
        "DeploymentId": good.deployment_id,
        "VersionNo": str(NOW_MS),
        "CreatedAt": NOW_ISO,
        "ModifiedAt": NOW_ISO,
        "DownloadSignedUrl": second["DownloadSignedUrl"],
        "Status": {"Status": "DEPLOY_SUCCESS", "Label": "DEPLOY_SUCCESS"},
    }
    assert second["DownloadSignedUrl"].startswith("http://")
    failed = await call(
        "ListFunctionDeployment", SpaceId=SPACE_ID, Name="demo", Status="DEPLOY_FAILED"
    )
    assert [each["DeploymentId"] for each in failed.body["DataList"]] == [bad.deployment_id]
    refused = await call("DeployFunction", SpaceId=SPACE_ID, DeploymentId=bad.deployment_id)
    assert (refused.status, refused.code) == (400, "InvalidDeployment.Failed")
    assert first["Status"]["Label"] in refused.body["Message"]
    unknown = await call("DeployFunction", SpaceId=SPACE_ID, DeploymentId="dep-none")
    assert (unknown.status, unknown.code) == (404, "InvalidDeployment.NotFound")


@pytest.mark.parametrize(
    ("args", "received"),
    [
        (', "functionArgs": {"a": [1, "世"]}', '{"a":[1,"世"]}'),
        (', "functionArgs": "{\\"a\\": 1}"', '{"a": 1}'),
        (', "functionArgs": []', "[]"),
        (', "functionArgs": null', "{}"),
        (', "functionArgs": ""', "{}"),
        ("", "{}"),
    ],
)
async def test_run_function(call: Caller, bench: Bench, args: str, received: str) -> None:
    answer = await call("RunFunction", SpaceId=SPACE_ID, Body=f'{{"functionTarget": "demo"{args}}}')
    (invocation,) = bench.invoker.calls
    assert answer.body == {
        "RequestId": answer.body["RequestId"],
        "Result": received,
        "RuntimeMeta": {
            "InvocationDuration": 14,
            "BillingDuration": 100,
            "MaxMemoryUsage": 32,
            "RequestId": invocation.request_id,
        },
    }
    assert invocation == Invocation(
        SPACE_ID, "demo", received.encode(), Source.SERVER, invocation.request_id, 60
    )


@pytest.mark.parametrize(
    "body",
    [
        *("", "x", "[]", "1", "{}", '{"functionTarget": ""}', '{"functionTarget": 1}'),
        '{"functionTarget": "f", "functionArgs": "no json"}',
    ],
)
async def test_run_function_with_a_bad_body(call: Caller, bench: Bench, body: str) -> None:
    answer = await call("RunFunction", SpaceId=SPACE_ID, Body=body)
    assert answer.status == 400
    assert answer.code in {"MissingBody", "InvalidParameter.Body", "InvalidParameter.functionArgs"}
    assert bench.invoker.calls == []


@pytest.mark.parametrize(
    ("kind", "fault", "status", "code", "message"),
    [
        (
            OutcomeKind.FUNCTION_ERROR,
            Fault(name="E", message="boom", code="4001"),
            *(400, "FunctionBizError", "4001:boom"),
        ),
        (OutcomeKind.TIMEOUT, Fault(name="E", message="5 s"), 400, "RequestTimeout", "5 s"),
        (OutcomeKind.EXPIRED, Fault(name="E", message="late"), 503, "FunctionServerError", "late"),
    ],
)
async def test_a_failed_run_is_an_error_that_names_the_invocation(
    call: Caller,
    bench: Bench,
    kind: OutcomeKind,
    fault: Fault,
    status: int,
    code: str,
    message: str,
) -> None:
    bench.invoker.script = lambda each: Outcome(request_id=each.request_id, kind=kind, fault=fault)
    answer = await call("RunFunction", SpaceId=SPACE_ID, Body='{"functionTarget": "demo"}')
    assert (answer.status, answer.code, answer.body["Message"]) == (status, code, message)
    assert answer.body["RuntimeMeta"]["RequestId"] == bench.invoker.calls[0].request_id


async def test_yunhan_invoke(call: Caller, bench: Bench) -> None:
    answer = await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo", Args='{"a": "世"}')
    (invocation,) = bench.invoker.calls
    assert invocation.timeout_cap_s == 900
    assert invocation.source is Source.SERVER
    assert answer.status == 200
    assert answer.body == {
        "RequestId": invocation.request_id,
        "Success": True,
        "Outcome": "ok",
        "Result": '{"a": "世"}',
        "Bill": {
            "QueueMs": 0.0,
            "Cold": False,
            "StartMs": 0.0,
            "RunMs": 13.2,
            "CpuMs": None,
            "PeakMemoryMb": 31.5,
        },
    }
    await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo")
    assert bench.invoker.calls[1].args == b"{}"
    bad = await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo", Args="{")
    assert (bad.status, bad.code) == (400, "InvalidParameter.Args")


async def test_yunhan_invoke_answers_any_outcome(call: Caller, bench: Bench) -> None:
    bench.invoker.script = lambda each: Outcome(
        request_id=each.request_id,
        kind=OutcomeKind.FUNCTION_ERROR,
        fault=Fault(name="Error", message="boom", stack="at x"),
        bill=Bill(cold=True, run_ms=1.5),
    )
    answer = await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo")
    assert answer.status == 200
    assert (answer.body["Success"], answer.body["Outcome"]) == (False, "function_error")
    assert answer.body["Error"] == {
        "Code": "FunctionBizError",
        "Message": "boom",
        "Blame": "function",
    }
    assert "Code" not in answer.body  # pop-core would take it for an error of the API
    assert "Result" not in answer.body


async def test_overload_is_503_with_a_time_to_wait(call: Caller, bench: Bench) -> None:
    def refuse(_invocation: Invocation) -> Outcome:
        raise OverloadedError("the queue is full", retry_after_s=2)

    bench.invoker.script = refuse
    answer = await call("YunhanInvoke", SpaceId=SPACE_ID, Name="demo")
    assert (answer.status, answer.code) == (503, "Throttling.Api.Concurrency")
    assert answer.headers["Retry-After"] == "2"


async def test_a_bug_is_500_without_details(call: Caller, bench: Bench) -> None:
    def fail(_invocation: Invocation) -> Outcome:
        raise RuntimeError("secret detail")

    bench.invoker.script = fail
    answer = await call("RunFunction", SpaceId=SPACE_ID, Body='{"functionTarget": "demo"}')
    assert (answer.status, answer.code) == (500, "InternalError")
    assert "secret" not in str(answer.body)
    assert answer.body["RequestId"] in answer.body["Message"]


async def test_list_function_log(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    failed = make_record(
        request_id="r2",
        function="other",
        started_ms=NOW_MS + 10,
        kind=OutcomeKind.FUNCTION_ERROR,
        fault=Fault(name="E", message="boom"),
        lines=(
            LogLine(level=LogLevel.WARN, time_ms=NOW_MS + 11, text="two\nlines"),
            LogLine(level=LogLevel.ERROR, time_ms=NOW_MS + 12, text="[function_error] E: boom"),
        ),
    )
    await bench.records.insert([make_record(), failed, make_record(space_id="x", request_id="r3")])
    answer = await call("ListFunctionLog", SpaceId=SPACE_ID)
    assert answer.body == {
        "RequestId": answer.body["RequestId"],
        "DataList": [
            {
                "SpaceId": SPACE_ID,
                "FunctionName": "other",
                "RequestId": "r2",
                "Status": "FAIL",
                "Timestamps": [str(NOW_MS + 11), str(NOW_MS + 12)],
                "Levels": ["WARN", "ERROR"],
                "Contents": ["two\nlines", "[function_error] E: boom"],
            },
            {
                "SpaceId": SPACE_ID,
                "FunctionName": "demo",
                "RequestId": "r1",
                "Status": "SUCCESS",
                "Timestamps": [str(NOW_MS + 1)],
                "Levels": ["INFO"],
                "Contents": ["hi 1"],
            },
        ],
        "Paginator": {"PageNum": 1, "PageSize": 10, "Total": 2, "PageCount": 1},
    }
    questions: list[tuple[dict[str, Any], list[str]]] = [
        ({"Name": "demo"}, ["r1"]),
        ({"Name": "nope"}, []),
        ({"LogRequestId": "r2"}, ["r2"]),
        ({"Status": "SUCCESS"}, ["r1"]),
        ({"Status": "FAIL"}, ["r2"]),
        ({"Status": ""}, ["r2", "r1"]),
        ({"Level": "error"}, ["r2"]),
        ({"Level": "DEBUG"}, []),
        ({"Order": "asc"}, ["r1", "r2"]),
        ({"FromDate": NOW_MS + 1}, ["r2"]),
        ({"ToDate": NOW_MS + 10}, ["r1"]),
        ({"FromDate": NOW_MS, "ToDate": NOW_MS + 11, "PageSize": 1, "PageNum": 2}, ["r1"]),
    ]
    for question, expected in questions:
        found = await call("ListFunctionLog", SpaceId=SPACE_ID, **question)
        assert [each["RequestId"] for each in found.body["DataList"]] == expected, question
    full = await call("YunhanListFunctionLog", SpaceId=SPACE_ID, LogRequestId="r2")
    (row,) = full.body["DataList"]
    assert (row["StartedAt"], row["Outcome"]) == (str(NOW_MS + 10), "function_error")
    assert (row["Source"], row["LinesCut"], row["Bill"]["RunMs"]) == ("client", False, 13.2)
    assert set(row) > set(answer.body["DataList"][0])


@pytest.mark.parametrize(
    "bad", [{"Status": "MAYBE"}, {"Level": "loud"}, {"Order": "up"}, {"FromDate": "x"}]
)
async def test_bad_log_questions(call: Caller, bench: Bench, bad: dict[str, str]) -> None:
    await bench.add_space()
    answer = await call("ListFunctionLog", SpaceId=SPACE_ID, **bad)
    assert (answer.status, answer.code) == (400, f"InvalidParameter.{next(iter(bad))}")


async def test_describe_server(call: Caller, bench: Bench) -> None:
    answer = await call("YunhanDescribeServer")
    assert (answer.body["Version"], answer.body["Rung"]) == ("0.0.1", "process")
    assert (answer.body["Isolates"], answer.body["NodeVersions"]) == (False, [18, 24])
    rows = {row["Name"]: row for row in answer.body["Settings"]}
    assert set(rows) == {f"YUNHAN_{name.upper()}" for name in Settings.model_fields}
    assert rows["YUNHAN_SLOTS"]["Value"] == str(bench.settings.slots)
    assert set(rows["YUNHAN_SLOTS"]) == {"Name", "Value", "Source", "Unit", "Text"}


async def test_describe_server_masks_secrets() -> None:
    settings = Settings(
        documents_url="mongodb://user:hidden@one,two/db?replicaSet=r",
        access_key_id="id",
        access_key_secret=SecretStr("hidden"),
    )
    answer = await ACTIONS["YunhanDescribeServer"](
        Bench(settings=settings).deps("http://localhost"), Parameters({})
    )
    assert "hidden" not in str(answer)
    assert "mongodb://***@one,two/db?replicaSet=r" in str(answer)


async def test_what_needs_a_space_says_so(call: Caller, bench: Bench) -> None:
    without = {"CreateSpace", "ListSpace", "DescribeSpaces", "YunhanDescribeServer"}
    invoked = {"RunFunction", "YunhanInvoke"}  # the invoker's business
    for action in sorted(set(ACTIONS) - without):
        missing = await call(action, Name="demo", DeploymentId="dep-1", Body="{}")
        assert (missing.status, missing.code) == (400, "MissingSpaceId"), action
        if action in invoked:
            continue
        unknown = await call(action, Name="demo", DeploymentId="dep-1", SpaceId="mp-none")
        expected = "InvalidSpaceId.NotFound"
        if action == "DeployFunction":
            expected = "InvalidDeployment.NotFound"
        assert (unknown.status, unknown.code) == (404, expected), action


async def test_an_unknown_action(call: Caller) -> None:
    for action in ("NoSuchAction", "listSpace", "RunDBCommand", "__class__"):
        answer = await call(action, SpaceId=SPACE_ID)
        assert (answer.status, answer.code) == (404, "InvalidAction.NotFound")
        assert answer.body["HostId"].startswith("127.0.0.1:")
