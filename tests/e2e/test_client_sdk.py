"""The unmodified client SDKs against the whole program, on each mini program host."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.harness.management import Management

pytestmark = pytest.mark.e2e

ECHO = """
module.exports = async (ctx) => {
  ctx.logger.info('asked by %s', ctx.env.MP_SOURCE);
  return { args: ctx.args, env: ctx.env };
};
"""
ANONYMOUS = ["authorize", {"authType": "anonymous"}]


@pytest.fixture(scope="module", autouse=True)
def functions(management: Management, space: tuple[str, str]) -> None:
    sources = {
        "echo": ECHO,
        "boom": "module.exports = () => { throw new Error('boom') }",
        "coded": "module.exports = () => { throw Object.assign(new Error('no'), { code: 4001 }) }",
        "nothing": "module.exports = async () => undefined",
        "docs": "module.exports = () => ({ affectedDocs: 2, result: [1, 2] })",
        "text": "module.exports = () => 'plain'",
    }
    for name, source in sources.items():
        management.deploy(space[0], name, {"index.js": source})


def steps_of(
    run_sdk: RunSdk, space: tuple[str, str], host: str, *steps: list[Any]
) -> list[dict[str, Any]]:
    return run_sdk(
        "run.cjs", host=host, spaceId=space[0], clientSecret=space[1], steps=[ANONYMOUS, *steps]
    )[1:]


@pytest.mark.parametrize("host", ["alipay", "wechat", "dingtalk"])
def test_invoke_from_every_host(run_sdk: RunSdk, space: tuple[str, str], host: str) -> None:
    args = {"hello": "世界", "k&=": "&=%+", "deep": [1, {"x": None}], "emoji": "😀"}
    [echo] = steps_of(run_sdk, space, host, ["invoke", "echo", args])
    assert echo["value"]["success"] is True
    assert echo["value"]["result"]["args"] == args
    assert len(echo["value"]["requestId"]) == 28
    env = echo["value"]["result"]["env"]
    assert env["MP_SOURCE"] == "client"
    assert env["MP_SPACE_ID"] == space[0]
    assert env["MP_CLIENT_IP"] == "127.0.0.1"
    assert "MP_APP_ID" not in env


@pytest.mark.parametrize("args", ["text", 5, [1, 2], False, ""])
def test_arguments_of_any_json_type(run_sdk: RunSdk, space: tuple[str, str], args: object) -> None:
    [echo] = steps_of(run_sdk, space, "alipay", ["invoke", "echo", args])
    assert echo["value"]["result"]["args"] == args


def test_no_arguments_are_an_empty_object(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    [echo] = steps_of(run_sdk, space, "alipay", ["invoke", "echo"])
    assert echo["value"]["result"]["args"] == {}


def test_shapes_of_results(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    nothing, docs, text = steps_of(
        run_sdk, space, "alipay", ["invoke", "nothing"], ["invoke", "docs"], ["invoke", "text"]
    )
    assert nothing["value"]["success"] is True
    assert nothing["value"]["result"] is None
    # The SDK lifts a database result to the top level, also when a function returns it.
    assert docs["value"]["result"] == [1, 2]
    assert docs["value"]["affectedDocs"] == 2
    assert text["value"]["result"] == "plain"


def test_errors_reach_the_app_as_code_and_message(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    boom, coded, unknown, refused, made_up = steps_of(
        run_sdk,
        space,
        "alipay",
        ["invoke", "boom"],
        ["invoke", "coded"],
        ["invoke", "nope"],
        ["findOne", "todos"],
        ["forward", "no.such.method", {}],
    )
    assert (boom["error"]["code"], boom["error"]["message"]) == ("FunctionBizError", "boom")
    assert (coded["error"]["code"], coded["error"]["message"]) == ("FunctionBizError", "4001:no")
    assert unknown["error"]["code"] == "FunctionNotFound"
    assert refused["error"]["code"] == "PermissionDenied", "a collection without a rule"
    assert made_up["error"]["code"] == "InvalidMethod.NotFound"


def test_a_broken_token_is_renewed_without_the_app_noticing(
    run_sdk: RunSdk, space: tuple[str, str]
) -> None:
    broken, echo = steps_of(
        run_sdk, space, "alipay", ["breakToken"], ["invoke", "echo", {"after": 1}]
    )
    assert broken["value"]["broken"] >= 1
    assert echo["value"]["result"]["args"] == {"after": 1}


def test_wrong_client_secret_is_refused(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    [answer] = run_sdk(
        "run.cjs", host="alipay", spaceId=space[0], clientSecret="wrong", steps=[ANONYMOUS]
    )
    assert answer["error"]["error"]["code"] == "SignatureNotMatch"


def test_unknown_space_is_refused(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    [answer] = run_sdk(
        "run.cjs", host="wechat", spaceId="mp-nobody", clientSecret=space[1], steps=[ANONYMOUS]
    )
    assert answer["error"]["error"]["code"] == "InvalidSpaceId.NotFound"


def test_many_calls_at_once(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    [many] = steps_of(run_sdk, space, "alipay", ["invokeMany", "echo", 40])
    assert [answer["result"]["args"]["i"] for answer in many["value"]] == list(range(40))


def test_unicloud_client(run_sdk: RunSdk, space: tuple[str, str]) -> None:
    echo, boom = run_sdk(
        "unicloud.cjs",
        spaceId=space[0],
        clientSecret=space[1],
        steps=[["echo", {"a": 1}], ["boom", {}]],
    )
    assert echo["value"]["success"] is True
    assert echo["value"]["result"]["args"]["a"] == 1
    assert len(echo["value"]["requestId"]) == 28
    assert boom["error"]["code"] == "FunctionBizError"
    assert boom["error"]["message"] == "[boom]: boom"  # uniCloud puts the name in front
