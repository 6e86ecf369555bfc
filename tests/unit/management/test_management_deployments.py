"""Actions on deployments through a real server, in both schemes."""

from pathlib import Path

import pytest
from aiohttp import ClientSession

from runtime.services.functions import FunctionChange
from tests.unit.management_support import SPACE_ID, Bench, as_upload, make_zip
from tests.unit.signed_requests import NOW_ISO, NOW_MS, Caller


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
