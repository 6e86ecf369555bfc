"""Environment variables of functions through a real server, in every scheme."""

from __future__ import annotations

import json

import pytest

from runtime.errors import InvalidParameterError
from runtime.gateway.management.function_env import yunhan_update_function_env
from runtime.gateway.management.parameters import Parameters
from runtime.services.function_env import EnvChange
from runtime.services.functions import FunctionChange
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import Caller

SECRET = "hush & hush = 云 😀 +%\n\"'"
DEMO = {"SpaceId": SPACE_ID, "Name": "demo"}


@pytest.fixture(autouse=True)
async def demo(bench: Bench) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())


async def test_set_and_describe(call: Caller) -> None:
    wanted = json.dumps({"TOKEN": SECRET, "EMPTY": ""})
    done = await call("YunhanUpdateFunctionEnv", **DEMO, Set=wanted)
    assert done.status == 200, done.body
    expected = {
        "RequestId": done.body["RequestId"],
        "Name": "demo",
        "Variables": [{"Name": "EMPTY"}, {"Name": "TOKEN"}],
        "Bytes": len("TOKEN") + len(SECRET.encode()) + len("EMPTY"),
        "VariablesMax": 64,
        "BytesMax": 16384,
    }
    assert done.body == expected
    for show in (None, False):
        parameters = {} if show is None else {"ShowValues": show}
        told = await call("YunhanDescribeFunctionEnv", **DEMO, **parameters)
        assert told.body == {**expected, "RequestId": told.body["RequestId"]}
    shown = await call("YunhanDescribeFunctionEnv", **DEMO, ShowValues=True)
    assert shown.body["Variables"] == [
        {"Name": "EMPTY", "Value": ""},
        {"Name": "TOKEN", "Value": SECRET},
    ]


async def test_unset_and_clear(call: Caller, bench: Bench) -> None:
    await call("YunhanUpdateFunctionEnv", **DEMO, Set='{"A":"1","B":"2","C":"3"}')
    done = await call("YunhanUpdateFunctionEnv", **DEMO, Unset='["A","X"]', Set='{"D":"4"}')
    assert [each["Name"] for each in done.body["Variables"]] == ["B", "C", "D"]
    done = await call("YunhanUpdateFunctionEnv", **DEMO)
    assert len(done.body["Variables"]) == 3
    done = await call("YunhanUpdateFunctionEnv", **DEMO, Clear=True, Set='{"E":"5"}')
    assert await bench.function_env.get(SPACE_ID, "demo") == {"E": "5"}
    done = await call("YunhanUpdateFunctionEnv", **DEMO, Clear=True)
    assert done.body["Variables"] == []


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"Set": '{"hush":'}, "Set"),
        ({"Set": '["hush"]'}, "Set"),
        ({"Set": '"hush"'}, "Set"),
        ({"Set": "[" * 100_000}, "Set"),
        ({"Set": '{"A":"hush","A":"x"}'}, "Set"),
        ({"Set": '{"A":["hush"]}'}, "Set"),
        ({"Set": '{"A":1}'}, "Set"),
        ({"Set": '{"A":null}'}, "Set"),
        ({"Set": '{"A":"hush\\u0000"}'}, "Set"),
        ({"Set": '{"A":"hush\\ud800"}'}, "Set"),
        ({"Set": '{"NODE_OPTIONS":"hush"}'}, "Set"),
        ({"Set": '{"A B":"hush"}'}, "Set"),
        ({"Set": '{"":"hush"}'}, "Set"),
        ({"Set": json.dumps({"A": "hush" * 5000})}, "Set"),
        ({"Set": json.dumps({f"A{place}": "hush" for place in range(65)})}, "Set"),
        ({"Unset": '{"A":"hush"}'}, "Unset"),
        ({"Unset": "[1]"}, "Unset"),
        ({"Unset": '["A"]', "Set": '{"A":"hush"}'}, "Unset"),
        ({"Unset": '["A"]', "Clear": True}, "Unset"),
        ({"Clear": "perhaps"}, "Clear"),
    ],
)
async def test_what_is_refused_says_which_parameter_and_quotes_no_value(
    bench: Bench, parameters: dict[str, object], code: str
) -> None:
    await bench.function_env.update(SPACE_ID, "demo", EnvChange(set={"KEPT": "1"}))
    texts = {name: str(value) for name, value in {**DEMO, **parameters}.items()}
    with pytest.raises(InvalidParameterError) as caught:
        await yunhan_update_function_env(bench.deps("http://localhost"), Parameters(texts))
    assert caught.value.code == f"InvalidParameter.{code}"
    assert "hush" not in str(caught.value)
    assert await bench.function_env.get(SPACE_ID, "demo") == {"KEPT": "1"}


async def test_unknown_functions(call: Caller) -> None:
    for action in ("YunhanUpdateFunctionEnv", "YunhanDescribeFunctionEnv"):
        answer = await call(action, SpaceId=SPACE_ID, Name="nobody")
        assert (answer.status, answer.code) == (404, "FunctionNotFound")
        answer = await call(action, SpaceId=SPACE_ID)
        assert (answer.status, answer.code) == (400, "MissingName")


async def test_other_actions_do_not_answer_it(call: Caller) -> None:
    await call("YunhanUpdateFunctionEnv", **DEMO, Set='{"TOKEN":"hush-hush"}')
    for action in ("DescribeFunction", "ListFunction", "UpdateFunction"):
        answer = await call(action, **DEMO)
        assert answer.status == 200
        assert "hush" not in str(answer.body)
        assert "sealed" not in str(answer.body).lower()
