"""Function logs through a real server, in both schemes."""

from typing import Any

import pytest

from sandbox.api import Fault, LogLevel, LogLine, OutcomeKind
from tests.unit.management_support import SPACE_ID, Bench, make_record
from tests.unit.signed_requests import NOW_MS, Caller


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
