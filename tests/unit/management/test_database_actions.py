"""Actions on databases through a real server, in every scheme."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json

import pytest

from runtime.documents.rules import PRESETS
from runtime.files.rules import DEFAULT_FILE_RULES
from runtime.messages import PolicyName
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import Caller

SPACE = {"SpaceId": SPACE_ID}
RULES = {**SPACE, "ServiceName": "db"}
TRANSFER = {**SPACE, "CollectionName": "users"}


@pytest.fixture(autouse=True)
async def users(bench: Bench) -> None:
    await bench.add_space()
    bench.databases.put(SPACE_ID, "users", '{"_id":"1","name":"云"}', '{"_id":"2"}')


async def test_a_command_has_its_result_as_text(call: Caller, bench: Bench) -> None:
    body = '{"command":"count","collection":"users","query":{}}'
    done = await call("RunDBCommand", **SPACE, Body=body)
    assert done.status == 200, done.body
    request_id = done.body["RequestId"]
    assert done.body == {"RequestId": request_id, "AffectedDocs": 2, "Result": "2"}
    assert bench.databases.bodies == [body]
    done = await call("RunDBCommand", **SPACE, Body='{"command":"startTransaction"}')
    assert (done.body["Result"], done.body["TransactionId"]) == ("null", "tx-1")


async def test_a_collection_is_renamed_and_dropped(call: Caller, bench: Bench) -> None:
    done = await call("RenameDBCollection", **SPACE, OriginCollection="users", NewCollection='a"b')
    assert done.body.keys() == {"RequestId"}
    assert list(bench.databases.spaces[SPACE_ID]) == ['a"b']
    body = json.dumps({"command": "drop", "collection": 'a"b'})
    done = await call("DeleteDBCollection", **SPACE, Body=body)
    assert done.body.keys() == {"RequestId"}
    assert bench.databases.spaces[SPACE_ID] == {}
    done = await call("DeleteDBCollection", **SPACE, Body=body)
    assert done.status == 200, "gone is gone"
    done = await call("RenameDBCollection", **SPACE, OriginCollection="a", NewCollection="b")
    assert (done.status, done.code) == (400, "26")


@pytest.mark.parametrize(
    ("action", "parameters", "status", "code"),
    [
        ("RunDBCommand", {"Body": ""}, 400, "MissingBody"),
        ("RunDBCommand", {"Body": "{"}, 400, "InvalidParameter.Body"),
        ("RunDBCommand", {"Body": "[]"}, 400, "InvalidParameter.Body"),
        ("RunDBCommand", {"SpaceId": "mp-none", "Body": "{}"}, 404, "InvalidSpaceId.NotFound"),
        ("DeleteDBCollection", {"Body": "users"}, 400, "InvalidParameter.Body"),
        ("DeleteDBCollection", {"Body": "[" * 2000}, 400, "InvalidParameter.Body"),
        ("DeleteDBCollection", {"Body": "{}"}, 400, "73"),
        (
            "DeleteDBCollection",
            {"Body": '{"command":"deleteMany","collection":"users"}'},
            400,
            "InvalidParameter.Body",
        ),
        ("RenameDBCollection", {"OriginCollection": "users"}, 400, "MissingNewCollection"),
        ("RenameDBCollection", {"NewCollection": "users"}, 400, "MissingOriginCollection"),
        (
            "RenameDBCollection",
            {"OriginCollection": "users", "NewCollection": "system.users"},
            400,
            "73",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_wrong_is_told(
    call: Caller,
    bench: Bench,
    action: str,
    parameters: dict[str, str],
    status: int,
    code: str,
) -> None:
    done = await call(action, **{**SPACE, **parameters})
    assert (done.status, done.code) == (status, code)
    assert list(bench.databases.spaces) == [SPACE_ID]
    assert list(bench.databases.spaces[SPACE_ID]) == ["users"]


async def test_policies_of_collections(call: Caller) -> None:
    row = {**RULES, "CollectionName": "users"}
    done = await call("DescribeServicePolicy", **row)
    request_id = done.body["RequestId"]
    assert done.body == {**row, "PolicyName": "", "Policy": "", "RequestId": request_id}
    private = PRESETS[PolicyName.PRIVATE]
    done = await call("UpdateServicePolicy", **row, PolicyName="private")
    told = {**row, "PolicyName": "PRIVATE", "Policy": private}
    assert done.body == {**told, "RequestId": done.body["RequestId"]}
    own = {**RULES, "CollectionName": "*", "PolicyName": "EXTENDED", "Policy": '{"*": false}'}
    done = await call("UpdateServicePolicy", **own)
    assert done.body == {**own, "RequestId": done.body["RequestId"]}
    done = await call("DescribeServicePolicy", **row)
    assert done.body == {**told, "RequestId": done.body["RequestId"]}


async def test_the_document_of_the_guide_goes_in_and_out(call: Caller) -> None:
    document = '{"db": {"posts": {".read": true, ".write": false}, "*": {"*": false}}}'
    done = await call("UpdateServicePolicy", **RULES, Policy=document)
    assert done.status == 200, done.body
    told = await call("DescribeServicePolicy", **RULES)
    assert json.loads(told.body["Policy"]) == json.loads(document)
    assert (told.body["PolicyName"], told.body["CollectionName"]) == ("EXTENDED", "")
    assert told.body["Collections"] == [
        {
            "CollectionName": "posts",
            "PolicyName": "EXTENDED",
            "Policy": '{".read": true, ".write": false}',
        },
        {"CollectionName": "*", "PolicyName": "EXTENDED", "Policy": '{"*": false}'},
    ]
    again = await call(
        "UpdateServicePolicy", **RULES, PolicyName="EXTENDED", Policy=told.body["Policy"]
    )
    assert again.body["Collections"] == told.body["Collections"]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"ServiceName": "file", "Policy": "{}"}, "InvalidParameter.Policy"),
        ({"ServiceName": "cache"}, "InvalidParameter.ServiceName"),
        ({"ServiceName": ""}, "MissingServiceName"),
        ({"CollectionName": "users"}, "MissingPolicyName"),
        ({"CollectionName": "users", "PolicyName": "OPEN"}, "InvalidParameter.PolicyName"),
        ({"CollectionName": "users", "PolicyName": "EXTENDED"}, "InvalidParameter.Policy"),
        (
            {"CollectionName": "users", "PolicyName": "EXTENDED", "Policy": "{"},
            "InvalidParameter.Policy",
        ),
        ({"CollectionName": "a$", "PolicyName": "PRIVATE"}, "InvalidParameter.CollectionName"),
        ({"PolicyName": "PRIVATE"}, "MissingCollectionName"),
        ({"Policy": '{".read": true}'}, "InvalidParameter.Policy"),
        ({}, "MissingPolicy"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_policy_that_is_wrong(
    call: Caller, bench: Bench, parameters: dict[str, str], code: str
) -> None:
    done = await call("UpdateServicePolicy", **{**RULES, **parameters})
    assert (done.status, done.code) == (400, code)
    assert await bench.database_policies.policies(SPACE_ID) == {}


async def test_rules_of_files_are_one_document(call: Caller, bench: Bench) -> None:
    files = {**SPACE, "ServiceName": "file"}
    done = await call("DescribeServicePolicy", **files)
    assert (done.status, done.body["Policy"]) == (200, DEFAULT_FILE_RULES)
    document = '{"file": {"/\\\\.png$/": {"*": true}, "*": {".write": false}}}'
    done = await call("UpdateServicePolicy", **files, PolicyName="EXTENDED", Policy=document)
    assert (done.status, done.body["Policy"]) == (200, document)
    assert await bench.file_policies.rules(SPACE_ID) == document
    assert await bench.database_policies.policies(SPACE_ID) == {}
    done = await call("UpdateServicePolicy", **files, Policy='{"file": {"/(?=a)/": {}}}')
    assert (done.status, done.code) == (400, "InvalidParameter.Policy")
    done = await call("UpdateServicePolicy", **files)
    assert (done.status, done.code) == (400, "MissingPolicy")
    assert await bench.file_policies.rules(SPACE_ID) == document


async def test_pages_out_and_in(call: Caller, bench: Bench) -> None:
    bench.databases.put(SPACE_ID, "users", '{"_id":"3"}', '{"_id":"4"}')
    first = await call("YunhanExportDatabase", **TRANSFER)
    lines = '{"_id":"1","name":"云"}\n{"_id":"2"}\n{"_id":"3"}\n'
    digest = hashlib.sha256(lines.encode()).hexdigest()
    assert first.body == {
        "RequestId": first.body["RequestId"],
        "Lines": lines,
        "Count": 3,
        "Sha256": digest,
        "After": '"3"',
    }
    last = await call("YunhanExportDatabase", **TRANSFER, After='"3"')
    assert (last.body["Lines"], last.body["After"]) == ('{"_id":"4"}\n', "")

    other = {**SPACE, "CollectionName": "others"}
    done = await call("YunhanImportDatabase", **other, Lines=lines, Sha256=digest)
    assert (done.status, done.body["Count"], done.body["Sha256"]) == (200, 3, digest)
    done = await call(
        "YunhanImportDatabase", **other, Lines=packed(b'{"_id":"9"}\n'), Encoding="gzip"
    )
    assert done.body["Count"] == 1
    assert list(bench.databases.collection(SPACE_ID, "others").lines) == [
        '"1"',
        '"2"',
        '"3"',
        '"9"',
    ]


def packed(content: bytes) -> str:
    return base64.urlsafe_b64encode(gzip.compress(content, mtime=0)).decode()


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"Lines": ""}, "MissingLines"),
        ({"Lines": "no lines"}, "2"),
        ({"Lines": "%%%", "Encoding": "gzip"}, "InvalidParameter.Lines"),
        ({"Lines": "bm8gZ3ppcA==", "Encoding": "gzip"}, "InvalidParameter.Lines"),
        ({"Lines": "x", "Encoding": "br"}, "InvalidParameter.Encoding"),
        ({"Lines": packed(b"{}")[:-8] + "====", "Encoding": "gzip"}, "InvalidParameter.Lines"),
        ({"Lines": packed(b" " * 1_000_000), "Encoding": "gzip"}, "InvalidParameter.Lines"),
        ({"Lines": '{"_id":1}', "Sha256": "0" * 64}, "InvalidParameter.Sha256"),
        ({"Lines": '{"_id":1,"twin":true}'}, "11000"),
        ({"Lines": '{"_id":1}', "CollectionName": ""}, "MissingCollectionName"),
        ({"Lines": '{"_id":1}', "CollectionName": "a$"}, "73"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_page_that_is_wrong(
    call: Caller, bench: Bench, parameters: dict[str, str], code: str
) -> None:
    before = dict(bench.databases.collection(SPACE_ID, "users").lines)
    done = await call("YunhanImportDatabase", **{**TRANSFER, **parameters})
    assert (done.status, done.code) == (400, code)
    assert bench.databases.collection(SPACE_ID, "users").lines == before
