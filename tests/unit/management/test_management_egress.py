"""Egress rules of spaces and functions through a real server, in every scheme."""

from __future__ import annotations

import json

import pytest

from runtime.errors import InvalidParameterError
from runtime.gateway.management.egress import yunhan_update_egress
from runtime.gateway.management.parameters import Parameters
from runtime.services.functions import FunctionChange
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import Caller

SPACE = {"SpaceId": SPACE_ID}
DEMO = {**SPACE, "Name": "demo"}
COMMON = {
    "Public": True,
    "SpaceRules": "any",
    "RulesMax": 32,
    "RuleMaxCharacters": 280,
    "Walls": False,
}
LOOPBACK = {"Rule": "127.0.0.1:8080", "Opens": ["a loopback address"]}
NAME = {"Rule": "db.internal:5432", "Opens": []}


@pytest.fixture(autouse=True)
async def demo(bench: Bench) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    await bench.functions.create(SPACE_ID, "quiet", FunctionChange())


async def test_of_a_space_and_of_a_function(call: Caller) -> None:
    told = await call("YunhanDescribeEgress", **SPACE)
    request_id = told.body["RequestId"]
    plain = {"Mode": "inherit", "Allow": []}
    assert told.body == {**plain, "Functions": [], **COMMON, "RequestId": request_id}

    done = await call("YunhanUpdateEgress", **SPACE, Allow='["127.0.0.1:8080"]')
    assert done.status == 200, done.body
    assert (done.body["Mode"], done.body["Allow"]) == ("inherit", [LOOPBACK])
    done = await call("YunhanUpdateEgress", **DEMO, Mode="none", Allow='["db.internal:5432"]')
    assert done.body == {
        "Name": "demo",
        "Mode": "none",
        "Allow": [NAME],
        "Space": {"Mode": "inherit", "Allow": [LOOPBACK]},
        "Effective": {"Installation": False, "Allow": [NAME]},
        **COMMON,
        "RequestId": done.body["RequestId"],
    }
    told = await call("YunhanDescribeEgress", **SPACE)
    assert told.body["Functions"] == [{"Name": "demo", "Mode": "none", "Allow": [NAME]}]
    done = await call("YunhanUpdateEgress", **DEMO, Mode="INHERIT")
    assert done.body["Effective"] == {"Installation": True, "Allow": [LOOPBACK, NAME]}
    told = await call("YunhanDescribeEgress", **DEMO)
    assert told.body == {**done.body, "RequestId": told.body["RequestId"]}


async def test_remove_and_clear(call: Caller) -> None:
    rules = json.dumps(["127.0.0.1", "::1", "10.0.0.0/8"])
    await call("YunhanUpdateEgress", **SPACE, Allow=rules)
    done = await call("YunhanUpdateEgress", **SPACE, Remove='["127.0.0.1"]', Allow='["fd00::2"]')
    assert [each["Rule"] for each in done.body["Allow"]] == ["::1", "10.0.0.0/8", "fd00::2"]
    done = await call("YunhanUpdateEgress", **SPACE, Clear=True)
    assert done.body["Allow"] == []


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"Allow": '["::1","10.0.0.1/8"]'}, 400, "InvalidEgressRule"),
        ({"Allow": '["a b"]'}, 400, "InvalidEgressRule"),
        ({"Allow": json.dumps([f"10.0.0.{n}" for n in range(33)])}, 400, "EgressRuleLimitExceeded"),
        ({"Allow": "[1]"}, 400, "InvalidParameter.Allow"),
        ({"Allow": "127.0.0.1"}, 400, "InvalidParameter.Allow"),
        ({"Allow": '{"a":1}'}, 400, "InvalidParameter.Allow"),
        ({"Allow": "[" * 2000}, 400, "InvalidParameter.Allow"),
        ({"Remove": '["::1"]', "Clear": "true"}, 400, "InvalidParameter.Remove"),
        ({"Mode": "public"}, 400, "InvalidParameter.Mode"),
        ({"Name": "other"}, 404, "FunctionNotFound"),
        ({"SpaceId": "mp-unknown"}, 404, "InvalidSpaceId.NotFound"),
        ({"SpaceId": ""}, 400, "MissingSpaceId"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_wrong_is_told(
    call: Caller, bench: Bench, parameters: dict[str, str], status: int, code: str
) -> None:
    before = await bench.egress.get(SPACE_ID)
    done = await call("YunhanUpdateEgress", **{**SPACE, **parameters})
    assert (done.status, done.code) == (status, code)
    assert await bench.egress.get(SPACE_ID) == before


async def test_more_rules_than_anybody_could_have_are_not_read_one_by_one(bench: Bench) -> None:
    parameters = Parameters({**SPACE, "Allow": json.dumps(["::1"] * 1001)})
    with pytest.raises(InvalidParameterError, match="at most 1000"):
        await yunhan_update_egress(bench.deps("http://unused"), parameters)
