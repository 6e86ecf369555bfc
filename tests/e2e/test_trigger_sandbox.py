"""HTTP triggers of the whole program: what a real function returns is sent as it is meant, or not at all."""

from __future__ import annotations

import json
import random
import re
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness.composed_responses import composed_response
from tests.harness.management import Management, ManagementError
from tests.harness.program import Program
from tests.harness.trigger_http import Answer, TriggerClient

pytestmark = pytest.mark.e2e

CASES = 200
MIRROR = """
module.exports = async ctx => {
  const args = ctx.args
  if (args.httpMethod === 'PUT') return { args, source: ctx.env.MP_SOURCE, keys: Object.keys(ctx.env) }
  return JSON.parse(args.body)
}
"""
"""Returns what the body says; for PUT, what it was given."""
LONG_PATH = "/http/" + "x" * 122


@pytest.fixture(scope="module")
def mirror(program: Program, management: Management) -> TriggerClient:
    space_id, _ = management.space("mirror")
    management.deploy(space_id, "mirror", {"index.js": MIRROR}, Concurrency=4)
    management.call(
        "UpdateFunction", SpaceId=space_id, Name="mirror", HttpTriggerPath="/http/mirror"
    )
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    management.call("YunhanUpdateHttpTriggerLimits", SpaceId=space_id, RequestMaxBytes=100_000)
    return TriggerClient(port=program.port, space_id=space_id, form="host")


def returned(mirror: TriggerClient, value: Any) -> Answer:
    """What comes back when a function returns `value`."""
    return mirror.post("/http/mirror", json.dumps(value).encode(), "application/json")


def test_two_hundred_composed_responses_of_a_real_function(mirror: TriggerClient) -> None:
    draw = random.Random(200)
    values = [composed_response(draw) for _ in range(CASES)]
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda value: returned(mirror, value), values))
    ill_formed = 0
    for value, answer in zip(values, answers, strict=True):
        assert answer.headers["request-id"], value
        assert answer.headers["content-disposition"] == "attachment", value
        assert not any("injected" in name for name in answer.headers), value
        if answer.status == 502 and answer.body.startswith(b'{"success":false'):
            code = json.loads(answer.body)["error"]["code"]
            assert code in {"InvalidComposedResponseBody", "ResponseContentLength.Exceeded"}, value
            ill_formed += 1
            continue
        assert answer.status == int(value.get("statusCode") or 200), value
        assert answer.body == sent_body(value, answer.status), value
    assert len(answers) == CASES
    assert CASES / 5 < ill_formed < CASES * 4 / 5, "both sides of the rules are drawn"


def sent_body(value: dict[str, Any], status: int) -> bytes:
    if status in {204, 205, 304}:
        return b""
    body = value.get("body") or ""
    if value.get("isBase64Encoded") is True:
        return b64decode(body)
    return re.sub("[\ud800-\udfff]", "?", body).encode()


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        ("云", "text/plain; charset=utf-8", "云".encode()),
        ({"b": 1, "a": "云"}, "application/json; charset=utf-8", '{"b":1,"a":"云"}'.encode()),
        ([1], "application/json; charset=utf-8", b"[1]"),
        (0.5, "application/json; charset=utf-8", b"0.5"),
        (False, "application/json; charset=utf-8", b"false"),
        (None, "text/plain; charset=utf-8", b""),
    ],
)
def test_results_have_the_type_of_their_kind(
    mirror: TriggerClient, value: Any, content_type: str, body: bytes
) -> None:
    answer = returned(mirror, value)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert answer.body == body


def test_a_real_function_gets_exactly_these_arguments(mirror: TriggerClient) -> None:
    answer = mirror.send(
        "PUT",
        "/http/mirror/x%2520y?a=1&a=2&b=%E4%BA%91",
        "<a>云</a>".encode(),
        {"Content-Type": "text/xml", "X-Twice": "1, 2"},
    )
    given = json.loads(answer.body)
    assert given["source"] == "http"
    assert not {"MP_USER_AGENT", "MP_CLIENT_IP", "MP_APP_ID"} & set(given["keys"])
    args = given["args"]
    assert args.pop("headers") == {
        "host": f"{mirror.space_id}.fn.localhost:{mirror.port}",
        "accept-encoding": "identity",
        "content-type": "text/xml",
        "x-twice": "1, 2",
        "content-length": str(len("<a>云</a>".encode())),
    }
    assert args == {
        "path": "/http/mirror/x%20y",
        "httpMethod": "PUT",
        "queryStringParameters": {"a": "2", "b": "云"},
        "body": "<a>云</a>",
        "isBase64Encoded": False,
    }


def test_a_throwing_function_is_502_and_the_next_call_works(mirror: TriggerClient) -> None:
    answer = mirror.post("/http/mirror", b"no json", "text/plain")
    assert answer.status == 502
    assert json.loads(answer.body)["error"]["code"] == "FunctionBizError"
    assert b"index.js" not in answer.body, "no stack"
    assert returned(mirror, "well").body == b"well"


def test_a_path_has_128_characters_at_most(management: Management, program: Program) -> None:
    space_id, _ = management.space("long")
    management.deploy(space_id, "long", {"index.js": "module.exports = async () => 'long'"})
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)

    def set_path(path: str) -> None:
        management.call("UpdateFunction", SpaceId=space_id, Name="long", HttpTriggerPath=path)

    client = TriggerClient(port=program.port, space_id=space_id)
    assert len(LONG_PATH) == 128
    set_path(LONG_PATH)
    assert client.get(LONG_PATH).body == b"long"
    with pytest.raises(ManagementError):
        set_path(f"{LONG_PATH}x")
    assert client.get(f"{LONG_PATH}x").status == 404
    assert client.get(LONG_PATH).body == b"long", "the refused change changed nothing"
    set_path("")
    assert client.get(LONG_PATH).status == 404
    set_path("/http/now")
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=False)
    answer = client.get("/http/now")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (
        404,
        "InvalidSpace.NotInService",
    )
