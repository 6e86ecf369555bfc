"""@alicloud/pop-core drives a function from creation to deletion."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.harness.management import zip_of
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

SOURCE = "module.exports = (ctx) => { ctx.logger.info('got %j', ctx.args); return ctx.args.a + 1 }"


def test_life_of_a_function(run_sdk: RunSdk, program: Program) -> None:
    key = program.access_key()
    space = {"SpaceId": "$0.SpaceId"}
    named = {**space, "Name": "plus"}
    package = base64.b64encode(zip_of({"plus/index.js": SOURCE})).decode()
    body = json.dumps({"functionTarget": "plus", "functionArgs": {"a": 41}})
    steps = [
        ["CreateSpace", {"Name": "popcore", "Desc": "中文 a b!'()*~"}],
        ["CreateFunction", {**named, "Runtime": "nodejs20"}],
        ["CreateFunctionDeployment", named],
        ["put", "$2.UploadSignedUrl", package],
        ["DeployFunction", {**space, "DeploymentId": "$2.DeploymentId"}],
        ["ListFunctionDeployment", {**named, "Status": "DEPLOY_SUCCESS"}],
        ["RunFunction", {**space, "Body": body}],
        ["DescribeFunction", named, "GET"],
        ["UpdateFunction", {**named, "Timeout": "9", "Memory": "512"}],
        ["DeleteFunction", named],
        ["DescribeFunction", named],
        ["NoSuchAction", {}],
        ["DeleteSpace", space],
        ["ListFunction", space],
    ]
    results = run_sdk(
        "pop_core.cjs", accessKeyId=key.key_id, accessKeySecret=key.secret, steps=steps
    )
    values: list[Any] = [result.get("value") for result in results]
    assert values[1]["Spec"]["Runtime"] == "Node.js 20"
    assert values[3]["status"] == 200
    assert values[5]["DataList"][0]["Status"]["Status"] == "DEPLOY_SUCCESS"
    assert values[6]["Result"] == "42"
    assert values[6]["RuntimeMeta"]["RequestId"]
    assert values[7]["Deployment"]["DeploymentId"] == values[2]["DeploymentId"]
    assert values[8]["Spec"]["Timeout"] == "9s"
    assert values[9]["RequestId"]
    assert results[10]["error"]["code"] == "FunctionNotFound"
    assert results[11]["error"]["code"] == "InvalidAction.NotFound"
    assert results[13]["error"]["code"] == "InvalidSpaceId.NotFound"


def test_log_of_a_run_is_found_by_its_request_id(run_sdk: RunSdk, program: Program) -> None:
    key = program.access_key()
    space = {"SpaceId": "$0.SpaceId"}
    package = base64.b64encode(zip_of({"index.js": SOURCE})).decode()
    body = json.dumps({"functionTarget": "plus", "functionArgs": json.dumps({"a": 1})})
    steps = [
        ["CreateSpace", {"Name": "poplogs"}],
        ["CreateFunction", {**space, "Name": "plus"}],
        ["CreateFunctionDeployment", {**space, "Name": "plus"}],
        ["put", "$2.UploadSignedUrl", package],
        ["DeployFunction", {**space, "DeploymentId": "$2.DeploymentId"}],
        ["RunFunction", {**space, "Body": body}],
    ]
    keys = {"accessKeyId": key.key_id, "accessKeySecret": key.secret}
    results = run_sdk("pop_core.cjs", steps=steps, **keys)
    request_id = results[5]["value"]["RuntimeMeta"]["RequestId"]
    query = {"SpaceId": results[0]["value"]["SpaceId"], "LogRequestId": request_id}
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # records are written in batches behind the call
        [logs] = run_sdk("pop_core.cjs", steps=[["ListFunctionLog", query]], **keys)
        if logs["value"]["DataList"]:
            break
    [entry] = logs["value"]["DataList"]
    assert entry["Contents"] == ['got {"a":1}']
    assert entry["Levels"] == ["INFO"]
    assert entry["Status"] == "SUCCESS"
    assert entry["FunctionName"] == "plus"
