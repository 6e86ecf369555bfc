"""What all actions have in common, and the description of the server."""

import re

from pydantic import SecretStr

from runtime.gateway.management.parameters import Parameters
from runtime.gateway.management.registry import ACTIONS
from runtime.settings import Settings
from tests.harness.payments import new_key, private_pem
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import Caller

UUID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")


async def test_every_answer_carries_a_request_id(call: Caller) -> None:
    for answer in (await call("ListSpace"), await call("NoSuchAction")):
        assert UUID.fullmatch(answer.body["RequestId"])
        assert answer.headers["request-id"] == answer.body["RequestId"]
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


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
    without |= {"YunhanDescribeJob", "YunhanCancelJob", "YunhanReplayJob", "YunhanDropJob"}
    without |= {"YunhanCheckLedger"}
    invoked = {"RunFunction", "YunhanInvoke"}  # the invoker's business
    needed: dict[str, str | bool] = {
        "Name": "demo",
        "DeploymentId": "dep-1",
        "Body": "{}",
        "EnableService": True,
        "ServiceName": "db",
        "CollectionName": "users",
        "PolicyName": "PRIVATE",
        "OriginCollection": "users",
        "NewCollection": "others",
        "Lines": "{}",
        "Domain": "shop.example",
        "DomainId": "1",
        "AppId": "2021000000000001",
        "AppSecret": "s" * 32,
        "AppAuthToken": "t",
        "IsvAppId": "2021000000000002",
        "PrivateKey": private_pem(new_key()),
        "UserId": "0" * 24,
        "Id": "00000000-0000-4000-8000-000000000000",
        "FileId": "00000000-0000-4000-8000-000000000000",
        "Filename": "a.txt",
        "ContentType": "text/plain",
        "Size": "1",
    }
    for action in sorted(set(ACTIONS) - without):
        missing = await call(action, **needed)
        assert (missing.status, missing.code) == (400, "MissingSpaceId"), action
        if action in invoked:
            continue
        unknown = await call(action, SpaceId="mp-none", **needed)
        expected = "InvalidSpaceId.NotFound"
        if action == "DeployFunction":
            expected = "InvalidDeployment.NotFound"
        assert (unknown.status, unknown.code) == (404, expected), action


async def test_an_unknown_action(call: Caller) -> None:
    for action in ("NoSuchAction", "listSpace", "CreateDBRestoreTask", "__class__"):
        answer = await call(action, SpaceId=SPACE_ID)
        assert (answer.status, answer.code) == (404, "InvalidAction.NotFound")
        assert answer.body["HostId"].startswith("127.0.0.1:")
