"""The unmodified server SDK against the whole program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.harness.management import Management
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

Steps = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module", autouse=True)
def functions(management: Management, space: tuple[str, str]) -> None:
    sources = {
        "server-echo": "module.exports = async (ctx) => ({ args: ctx.args, env: ctx.env })",
        "server-outer": "module.exports = async (ctx) =>"
        " (await ctx.mpserverless.function.invoke('server-echo', { inner: true })).result",
        "server-coded": "module.exports = () => {"
        " throw Object.assign(new Error('no'), { code: 4001 }) }",
        "server-docs": "module.exports = () => ({ affectedDocs: 2, result: [1, 2] })",
        "server-none": "module.exports = async () => undefined",
    }
    for name, source in sources.items():
        management.deploy(space[0], name, {"index.js": source})


def private_key(management: Management, space_id: str) -> str:
    config = management.call("DescribeSpaceClientConfig", SpaceId=space_id, Detail=True)
    return str(config["PrivateKey"])


@pytest.fixture(scope="module")
def steps_of(run_sdk: RunSdk, management: Management, space: tuple[str, str]) -> Steps:
    secret = private_key(management, space[0])

    def steps_of(*steps: list[Any], **config: Any) -> list[dict[str, Any]]:
        config = {"spaceId": space[0], "serverSecret": secret, **config}
        return run_sdk("server.cjs", steps=list(steps), **config)

    return steps_of


def test_invoke(steps_of: Steps, space: tuple[str, str]) -> None:
    args = {"hello": "世界", "k&=": "&=%+", "deep": [1, {"x": None}], "emoji": "😀"}
    [echo] = steps_of(["invoke", "server-echo", args])
    assert set(echo["value"]) == {"success", "result", "requestId"}
    assert echo["value"]["success"] is True
    assert len(echo["value"]["requestId"]) == 28
    assert echo["value"]["result"] == {
        "args": args,
        "env": {"MP_SPACE_ID": space[0], "MP_SOURCE": "server"},
    }


@pytest.mark.parametrize("args", ["text", 5, [1, 2], False, ""])
def test_arguments_of_any_json_type(steps_of: Steps, args: object) -> None:
    [echo] = steps_of(["invoke", "server-echo", args])
    assert echo["value"]["result"]["args"] == args


def test_shapes_of_results(steps_of: Steps) -> None:
    empty, none, docs = steps_of(
        ["invoke", "server-echo"], ["invoke", "server-none"], ["invoke", "server-docs"]
    )
    assert empty["value"]["result"]["args"] == {}
    assert (none["value"]["success"], none["value"]["result"]) == (True, None)
    # Unlike the client SDK, this one lifts results of the database only.
    assert docs["value"]["result"] == {"affectedDocs": 2, "result": [1, 2]}


def test_a_backend_acts_for_a_user(steps_of: Steps, space: tuple[str, str]) -> None:
    echo, outer, whom, other, nobody = steps_of(
        ["as", "user-7", "invoke", "server-echo", {"a": 1}],
        ["as", "user-7", "invoke", "server-outer"],
        ["as", "user-7", "getInfo"],
        ["as", "用户 8", "getInfo", {"authProvider": "alipay_openapi"}],
        ["getInfo"],
    )
    assert echo["value"]["result"]["args"] == {"a": 1}
    assert echo["value"]["result"]["env"]["MP_SOURCE"] == "server"
    assert outer["value"]["result"]["env"]["MP_SOURCE"] == "function"
    for info, user_id in ((whom, "user-7"), (other, "用户 8")):
        user = {"userId": user_id, "spaceId": space[0]}
        assert info["value"] == {"user": user, **user}
    assert nobody["value"] == {"user": {}}


def test_options_of_the_constructor(steps_of: Steps) -> None:
    options = {"userId": "uid-1", "requestId": "trace-1", "token": "tok-1"}
    info, other, echo = steps_of(
        ["getInfo"],
        ["as", "user-7", "getInfo"],
        ["invoke", "server-echo", {}],
        options=options,
        functionName="fn-1",
    )
    assert info["value"]["userId"] == "uid-1"
    assert other["value"]["userId"] == "user-7"
    assert echo["value"]["success"] is True


def test_no_rule_keeps_a_backend_from_the_database(steps_of: Steps) -> None:
    made, found, missed, wrong = steps_of(
        ["as", "user-7", "db", "server-notes", "insertOne", {"_id": "a", "text": "云", "n": 1}],
        ["db", "server-notes", "find", {"n": 1}],
        ["db", "server-notes", "findOne", {"n": 2}],
        ["db", "server-notes", "find", {"$where": "true"}],
    )
    assert made["value"]["result"]["insertedId"] == "a"
    assert found["value"]["success"] is True
    assert found["value"]["affectedDocs"] == 1
    # Nothing tells whose it is.
    assert found["value"]["result"] == [{"_id": "a", "text": "云", "n": 1}]
    assert (missed["value"]["affectedDocs"], missed["value"]["result"]) == (0, None)
    assert wrong["error"]["code"]


def test_many_calls_at_once(steps_of: Steps) -> None:
    [many] = steps_of(["invokeMany", "server-echo", 40])
    assert [answer["result"]["args"]["i"] for answer in many["value"]] == list(range(40))


def test_errors_are_thrown_with_code_and_message(steps_of: Steps) -> None:
    coded, unknown, later = steps_of(
        ["invoke", "server-coded"], ["invoke", "nope"], ["as", "user-7", "redis", "SET", "k", "v"]
    )
    assert coded["error"] == {"isError": True, "code": "FunctionBizError", "message": "4001:no"}
    assert unknown["error"]["code"] == "FunctionNotFound"
    assert later["error"]["code"] == "ServiceNotAvailable"


def test_refused_keys_and_spaces(steps_of: Steps, management: Management) -> None:
    [foreign] = steps_of(["invoke", "server-echo", {}], serverSecret=None)
    assert foreign["error"]["code"] == "SignatureNotMatch"
    [unknown] = steps_of(["invoke", "server-echo", {}], spaceId="mp-nobody")
    assert unknown["error"]["code"] == "InvalidSpaceId.NotFound"
    other_id, _ = management.space("e2e-server")
    [other] = steps_of(["invoke", "server-echo", {}], spaceId=other_id)
    assert other["error"]["code"] == "SignatureNotMatch"


def test_a_new_key_replaces_the_old_one(steps_of: Steps, management: Management) -> None:
    space_id, _ = management.space("e2e-reset")
    old = private_key(management, space_id)
    [before] = steps_of(["getInfo"], spaceId=space_id, serverSecret=old)
    assert before["value"] == {"user": {}}
    management.call("ResetServerSecret", SpaceId=space_id)
    new = private_key(management, space_id)
    [refused] = steps_of(["getInfo"], spaceId=space_id, serverSecret=old)
    assert refused["error"]["code"] == "SignatureNotMatch"
    [after] = steps_of(["getInfo"], spaceId=space_id, serverSecret=new)
    assert after["value"] == {"user": {}}


def test_a_paused_space_answers_nobody(steps_of: Steps, management: Management) -> None:
    space_id, _ = management.space("e2e-paused")
    secret = private_key(management, space_id)
    management.call("UpdateSpace", SpaceId=space_id, Status="PAUSED")
    [paused] = steps_of(["getInfo"], spaceId=space_id, serverSecret=secret)
    assert paused["error"]["code"] == "InvalidSpace.NotInService"


def test_a_slash_at_the_end_of_the_endpoint_works(steps_of: Steps, program: Program) -> None:
    [info] = steps_of(["as", "user-7", "getInfo"], endpoint=f"{program.endpoint}/")
    assert info["value"]["userId"] == "user-7"
