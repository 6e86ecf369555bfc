"""Users of Alipay, WeChat and DingTalk through the unmodified SDKs: who they are, and who knows it."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.conftest import sdk_runner
from tests.harness.background import in_background
from tests.harness.intake_broker import message, producer
from tests.harness.management import Management
from tests.harness.platform_servers import PlatformServers
from tests.harness.polling import poll
from tests.harness.program import Program
from tests.harness.rabbitmq import RabbitMq
from tests.harness.user_stage import APPS, OTHER_WECHAT_APP, SECRETS, UserStage, save_keys

pytestmark = pytest.mark.e2e

PLATFORM_TIMEOUT_S = 2.0
WHO = """
const who = async (ctx) => ({ info: await ctx.mpserverless.user.getInfo(), env: ctx.env });
module.exports = async (ctx) => {
  const { through } = ctx.args;
  if (through === undefined) return who(ctx);
  const { result } = await ctx.mpserverless.function.invoke(through, {});
  return result;
};
"""
MAIN = """
exports.main = async (event, context) => ({
  event,
  info: await context.mpserverless.user.getInfo(),
});
"""
TELL = """
module.exports = async (ctx) => {
  console.log(JSON.stringify([ctx.env.MP_SOURCE, await ctx.mpserverless.user.getInfo()]));
};
"""
NOBODY: dict[str, Any] = {"user": {}}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserStage]:
    servers = PlatformServers()
    with in_background(servers.serving()):
        program = Program(
            tmp_path_factory.mktemp("users") / "data",
            YUNHAN_SANDBOX=os.environ.get("YUNHAN_TEST_RUNG", "auto"),
            YUNHAN_PLATFORM_ALIPAY_URL=f"{servers.url}/alipay",
            YUNHAN_PLATFORM_WECHAT_URL=servers.wechat_url,
            YUNHAN_PLATFORM_DINGTALK_URL=servers.dingtalk_url,
            YUNHAN_PLATFORM_DINGTALK_OAPI_URL=servers.dingtalk_oapi_url,
            YUNHAN_PLATFORM_TIMEOUT_S=str(PLATFORM_TIMEOUT_S),
        )
        program.start()
        try:
            management = Management(program.endpoint, program.access_key())
            space = management.space("users")
            servers.secrets[OTHER_WECHAT_APP] = SECRETS["wechat"]
            made = UserStage(program, servers, management, sdk_runner(program), space)
            save_keys(made, space[0])
            for name, source in {"who": WHO, "main": MAIN, "tell": TELL}.items():
                management.deploy(space[0], name, {"index.js": source}, Timeout=30)
            yield made
        finally:
            code = program.stop()
        assert code == 0, program.log()


@pytest.mark.parametrize("host", APPS)
def test_a_login_and_what_is_told_of_the_user(stage: UserStage, host: str) -> None:
    open_id = f"2088-{host}-login"
    [authorized, told] = stage.as_user(open_id, host, ["getInfo"])
    assert authorized == {"value": {"success": True}}
    assert told["value"]["success"] is True
    result = told["value"]["result"]
    user = result["user"]
    assert result == {"user": user, **user}
    assert set(user) == {"userId", "spaceId", "createdAt", "lastSeenAt", "oAuthUserId"}
    assert (user["spaceId"], user["oAuthUserId"]) == (stage.space[0], open_id)
    assert len(bytes.fromhex(user["userId"])) == 12
    assert user["createdAt"] <= user["lastSeenAt"]


def test_a_user_is_the_same_in_one_app_of_one_space_only(stage: UserStage) -> None:
    first = stage.user_of("o-anna", "wechat")
    again = stage.user_of("o-anna", "wechat")
    assert (again["userId"], again["createdAt"]) == (first["userId"], first["createdAt"])
    assert again["lastSeenAt"] > first["lastSeenAt"]
    other_space = stage.management.space("usersother")
    save_keys(stage, other_space[0])
    others = [
        stage.user_of("o-bert", "wechat"),
        stage.user_of("o-anna", "wechat", app=OTHER_WECHAT_APP),
        stage.user_of("o-anna", "wechat", space=other_space),
        stage.user_of("o-anna", "dingtalk"),
    ]
    assert len({user["userId"] for user in (first, *others)}) == 5


def test_a_file_is_its_users_also_after_the_next_login(stage: UserStage, tmp_path: Path) -> None:
    page = tmp_path / "a.txt"
    page.write_text("first")

    def upload() -> list[Any]:
        return ["upload", {"filePath": str(page), "cloudPath": "/of/carl.txt"}]

    [_, uploaded] = stage.as_user("o-carl", "wechat", upload())
    url = uploaded["value"]["fileUrl"]
    page.write_text("second!")
    [_, overwritten, removed] = stage.as_user("o-dora", "wechat", upload(), ["remove", url])
    assert overwritten["error"]["code"] == removed["error"]["code"] == "PermissionDenied"
    [_, fetched, overwritten, again, removed, gone] = stage.as_user(
        "o-carl",
        "wechat",
        ["fetch", url],
        upload(),
        ["fetch", url],
        ["remove", url],
        ["fetch", url],
    )
    assert (fetched["value"]["status"], fetched["value"]["size"]) == (200, len("first"))
    assert overwritten["value"]["fileUrl"] == url
    assert again["value"]["size"] == len("second!")
    assert removed["value"]["success"] is True
    assert gone["value"]["status"] == 404


@pytest.mark.parametrize("host", APPS)
def test_a_function_knows_its_user(stage: UserStage, host: str) -> None:
    open_id = f"2088-{host}-function"
    forged = {"openId": "forged", "appId": "forged", "nickName": "小明"}
    [_, told, plain, nested, main] = stage.as_user(
        open_id,
        host,
        ["getInfo"],
        ["invoke", "who", {}],
        ["invoke", "who", {"through": "who"}],
        ["invoke", "main", {"a": 1, "userInfo": forged}],
    )
    mine = told["value"]["result"]
    seen = plain["value"]["result"]
    assert seen["info"] == mine
    assert seen["info"]["user"]["oAuthUserId"] == open_id
    assert seen["env"]["MP_APP_ID"] == APPS[host]
    assert nested["value"]["result"]["info"] == mine
    assert nested["value"]["result"]["env"]["MP_SOURCE"] == "function"
    event = main["value"]["result"]["event"]
    assert main["value"]["result"]["info"] == mine
    wechat = {"openId": open_id, "appId": APPS[host]}
    assert event == {"a": 1, "userInfo": wechat if host == "wechat" else {"nickName": "小明"}}


def test_what_a_function_calls_knows_the_user_too(stage: UserStage) -> None:
    [_, plain, main] = stage.as_user(
        "o-emil", "wechat", ["invoke", "who", {"through": "main"}], ["invoke", "main", {}]
    )
    assert plain["value"]["result"]["event"] == main["value"]["result"]["event"]
    assert plain["value"]["result"]["event"]["userInfo"]["openId"] == "o-emil"


def test_a_backend_acts_for_a_user(stage: UserStage) -> None:
    user = stage.user_of("o-frida", "wechat")
    nobody, told, inside, stranger = stage.run_sdk(
        "server.cjs",
        spaceId=stage.space[0],
        serverSecret=stage.management.server_secret(stage.space[0]),
        steps=[
            ["getInfo"],
            ["as", user["userId"], "getInfo"],
            ["as", user["userId"], "invoke", "who", {}],
            ["as", "of-another-system", "getInfo"],
        ],
    )
    assert nobody["value"] == NOBODY
    assert told["value"] == {"user": user, **user}
    assert inside["value"]["result"]["info"] == {"user": user, **user}
    assert stranger["value"]["user"] == {
        "userId": "of-another-system",
        "spaceId": stage.space[0],
    }


REFUSALS = {
    "alipay": "isv.code-invalid",
    "wechat": "40029",
    "dingtalk": "40078",
}


@pytest.mark.parametrize("host", APPS)
def test_what_an_app_gets_when_its_platform_refuses(stage: UserStage, host: str) -> None:
    [refused, later] = stage.as_user("", host, ["getInfo"])
    error = refused["error"]["error"]
    assert error["code"] == "PlatformRefused"
    assert REFUSALS[host] in error["message"]
    assert later["error"]["error"] == error
    assert not any(secret in json.dumps(refused) for secret in SECRETS.values())


def test_what_an_app_gets_without_keys(stage: UserStage) -> None:
    asked = len(stage.servers.asked)
    [refused] = stage.as_user("o-gina", "wechat", app="wx0009")
    assert refused["error"]["error"]["code"] == "OpenPlatformConfig.NotFound"
    assert "wx0009" in refused["error"]["error"]["message"]
    assert len(stage.servers.asked) == asked


@pytest.mark.parametrize("host", APPS)
def test_what_an_app_gets_when_its_platform_says_nothing(stage: UserStage, host: str) -> None:
    async def never(_request: web.Request) -> web.StreamResponse:
        await stage.servers.released.wait()
        return web.Response()

    stage.servers.misbehave = never
    try:
        [refused] = stage.as_user("o-hans", host)
    finally:
        stage.servers.misbehave = None
    error = refused["error"]["error"]
    assert error["code"] == "RequestTimeout"
    assert "2 s" in error["message"]
    assert stage.user_of("o-hans", host)["oAuthUserId"] == "o-hans"


def test_the_sdk_renews_a_revoked_token_by_itself_once(stage: UserStage) -> None:
    user = stage.user_of("o-ida", "wechat")
    key = stage.program.access_key()
    sent = {"SpaceId": stage.space[0], "UserId": user["userId"]}
    credentials = {"accessKeyId": key.key_id, "accessKeySecret": key.secret}
    revoke = ["manage", credentials, "YunhanRevokeUser", sent]
    asked = len(stage.servers.asked)
    [_, before, revoked, after, later] = stage.as_user(
        "o-ida",
        "wechat",
        ["invoke", "who", {}],
        revoke,
        ["invoke", "who", {}],
        ["invoke", "who", {}],
    )
    assert "value" in revoked, revoked
    seen = [each["value"]["result"]["info"]["userId"] for each in (before, after, later)]
    assert seen == [user["userId"]] * 3
    assert stage.servers.asked[asked:] == ["/wechat/sns/jscode2session"] * 2


def test_users_of_unicloud_are_anonymous(stage: UserStage) -> None:
    def asked() -> Any:
        [called] = stage.run_sdk(
            "unicloud.cjs", spaceId=stage.space[0], clientSecret=stage.space[1], steps=[["who", {}]]
        )
        return called["value"]["result"]

    first, second = asked(), asked()
    assert set(first["info"]["user"]) == {"userId", "spaceId", "createdAt", "lastSeenAt"}
    assert "MP_APP_ID" not in first["env"]
    assert first["info"]["userId"] != second["info"]["userId"]


def test_http_triggers_and_management_have_no_user(stage: UserStage) -> None:
    space_id = stage.space[0]
    stage.management.call(
        "UpdateFunction", SpaceId=space_id, Name="who", HttpTriggerPath="/http/who"
    )
    stage.management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    url = f"{stage.program.endpoint}/trigger/{space_id}/http/who"
    with urllib.request.urlopen(url, timeout=30) as answer:
        told = json.loads(answer.read())
    assert told["env"]["MP_SOURCE"] == "http"
    assert told["info"] == NOBODY
    body = json.dumps({"functionTarget": "who", "functionArgs": {}})
    ran = stage.management.call("RunFunction", SpaceId=space_id, Body=body)
    assert json.loads(ran["Result"])["info"] == NOBODY


def told_by_runs(management: Management, space_id: str, program: Program) -> list[Any]:
    """What the runs of `tell` printed, when there are some."""

    def printed() -> list[Any]:
        rows = management.call("ListFunctionLog", SpaceId=space_id, Name="tell")["DataList"]
        return [json.loads(text) for row in rows for text in row["Contents"]]

    return poll(printed, 40, told=program.log)


def test_a_timer_has_no_user(stage: UserStage) -> None:
    space_id = stage.space[0]
    due = datetime.now(UTC) + timedelta(seconds=5)
    stage.management.call(
        "UpdateFunction",
        SpaceId=space_id,
        Name="tell",
        TimingTriggerConfig=f"cron:{due.second} * * * * * *",
    )

    assert told_by_runs(stage.management, space_id, stage.program) == [["timing", NOBODY]]
    stage.management.call("UpdateFunction", SpaceId=space_id, Name="tell", TimingTriggerConfig="")


async def test_a_message_of_another_system_has_no_user(rabbitmq: RabbitMq, tmp_path: Path) -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    program = Program(
        tmp_path / "data",
        YUNHAN_SANDBOX="process",
        YUNHAN_QUEUE_URL=rabbitmq.url,
        YUNHAN_QUEUE_PREFIX=prefix,
        YUNHAN_QUEUE_SHARDS="1",
        YUNHAN_INTAKE_USERS="guest=*",
    )
    await asyncio.to_thread(program.start)
    try:
        management = Management(program.endpoint, program.access_key())
        space_id, _ = await asyncio.to_thread(management.space)
        await asyncio.to_thread(management.deploy, space_id, "tell", {"index.js": TELL})
        claimed = {"userId": "5f" * 12, "principal": {"user_id": "5f" * 12}}
        body = {"space": space_id, "function": "tell", "args": {}, **claimed}
        async with producer(rabbitmq.url, f"{prefix}.intake") as exchange:
            await exchange.publish(message(body, message_id="m1"), "v1")
        told = await asyncio.to_thread(told_by_runs, management, space_id, program)
    finally:
        code = await asyncio.to_thread(program.stop)
    assert told == [["server", NOBODY]]
    assert code == 0, program.log()
