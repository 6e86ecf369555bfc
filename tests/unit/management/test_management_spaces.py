"""Actions on spaces through a real server, in both schemes."""

import base64

from runtime.messages import SpaceStatus
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import NOW_ISO, NOW_MS, Caller


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
