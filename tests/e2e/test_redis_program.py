"""One Redis for the gateways and workers of an installation: shared counts, and `redisCli` by space."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk, sdk_runner
from tests.harness.distributed import DistributedProgram
from tests.harness.lacking import NEEDS_RABBITMQ, lacks
from tests.harness.management import Management
from tests.harness.polling import poll
from tests.harness.program import Process, free_port
from tests.harness.redis_server import RedisServer, missing_reason

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), NEEDS_RABBITMQ]

IP_LIMIT = 10
ANONYMOUS = ["authorize", {"authType": "anonymous"}]
COMMANDS = """
module.exports = async (ctx) => {
  const { user } = ctx.mpserverless;
  const answers = [];
  for (const command of ctx.args.commands) {
    try {
      answers.push(await user.redisCli(command));
    } catch ({ code }) {
      answers.push({ code });
    }
  }
  return answers;
};
"""


@dataclass
class Stage:
    """Two gateways, a worker and their Redis."""

    program: DistributedProgram
    other: Process
    redis: RedisServer
    management: Management
    run_sdk: RunSdk

    def logins(self, endpoint: str, address: str, count: int) -> list[str | None]:
        """Codes of anonymous logins of one client at one gateway; None for each that went well."""
        results = self.run_sdk(
            "run.cjs",
            endpoint=endpoint,
            host="wechat",
            headers={"X-Forwarded-For": address},
            spaceId=self.space[0],
            clientSecret=self.space[1],
            steps=[ANONYMOUS] * count,
        )
        return [each["error"]["error"]["code"] if "error" in each else None for each in results]

    def redis_in(self, space_id: str, *commands: list[str]) -> Any:
        """What a function of the space got."""
        answer = self.management.invoke(space_id, "redis", {"commands": commands})
        return json.loads(answer["Result"])

    def __post_init__(self) -> None:
        self.space = self.management.space("shared")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if missing_reason():
        lacks(missing_reason())
    folder = tmp_path_factory.mktemp("redis")
    redis = RedisServer(folder / "server", password="pw:/@%").start()
    password_file = folder / "password"
    password_file.write_text("pw:/@%")
    program = DistributedProgram(
        folder / "data",
        YUNHAN_SANDBOX="process",
        YUNHAN_REDIS_URL=redis.url,
        YUNHAN_REDIS_PASSWORD_FILE=str(password_file),
        YUNHAN_TRUSTED_PROXIES="127.0.0.1",
        YUNHAN_RATE_IP_LIMIT=str(IP_LIMIT),
        YUNHAN_RATE_IP_WINDOW_S="3600",
        YUNHAN_RATE_IP_BLOCK_S="3600",
    )
    other = second_gateway(program, folder)
    try:
        program.start()
        other.environ["YUNHAN_DOCUMENTS_URL"] = program.environ["YUNHAN_DOCUMENTS_URL"]
        other.start()
        management = Management(program.endpoint, program.access_key())
        yield Stage(program, other, redis, management, sdk_runner(program))
        assert other.end(signal.SIGTERM) == 0, other.log()
        assert program.stop() == 0, program.log()
    finally:
        for part in (other, program.main, *program.workers):
            if part.process is not None:
                part.end(signal.SIGKILL)
        program.documents.stop()
        redis.kill()


def second_gateway(program: DistributedProgram, folder: Path) -> Process:
    port = free_port()
    environ = {
        **program.environ,
        "YUNHAN_DATA_DIR": str(folder / "second"),
        "YUNHAN_HTTP": f"127.0.0.1:{port}",
        "YUNHAN_HTTPS": f"127.0.0.1:{free_port()}",
    }
    return Process(
        "gateway",
        environ,
        address=f"http://127.0.0.1:{port}",
        log_path=folder / "second.log",
    )


def test_gateways_count_an_address_together(stage: Stage) -> None:
    first, second = stage.program.endpoint, stage.other.address
    assert stage.logins(first, "198.51.100.1", IP_LIMIT - 1) == [None] * (IP_LIMIT - 1)
    refused = ["Throttling.Api"] * 2
    assert stage.logins(second, "198.51.100.1", 3) == [None, *refused]
    assert stage.logins(first, "198.51.100.1", 2) == refused, "it is blocked everywhere"
    assert stage.logins(second, "198.51.100.2", 1) == [None]


def test_spaces_do_not_see_each_others_keys(stage: Stage) -> None:
    spaces = [stage.management.space(name)[0] for name in ("redisone", "redistwo")]
    for space_id in spaces:
        stage.management.deploy(space_id, "redis", {"index.js": COMMANDS})
    one, two = spaces
    written = stage.redis_in(one, ["SET", "k", "云"], ["INCRBY", "n", "5"], ["HSET", "h", "f", "v"])
    assert written == ["OK", 5, 1]
    assert stage.redis_in(one, ["GET", "k"], ["HGETALL", "h"]) == ["云", ["f", "v"]]
    prefixed = f"yunhan:space:{one}:k"
    assert stage.redis_in(
        two, ["GET", "k"], ["EXISTS", "n", "h"], ["GET", prefixed], ["DEL", "k"]
    ) == [None, 0, None, 0]
    assert (
        stage.redis_in(two, ["KEYS", "*"], ["FLUSHALL"], ["EVAL", "return 1", "0"])
        == [{"code": "RedisCommandNotAllowed"}] * 3
    )
    for space_id, seen in ((one, "云"), (two, None)):
        secret = stage.management.server_secret(space_id)
        [got, refused] = stage.run_sdk(
            "server.cjs",
            spaceId=space_id,
            serverSecret=secret,
            steps=[["redis", "GET", "k"], ["redis", "CONFIG", "GET", "*"]],
        )
        assert got["value"] == seen
        assert refused["error"]["code"] == "RedisCommandNotAllowed"
    assert stage.redis.command("EXISTS", prefixed) == "1"
    stage.management.call("DeleteSpace", SpaceId=one)
    assert stage.redis.command("EXISTS", prefixed) == "0", "keys go with their space"


def test_without_redis_gateways_count_alone_and_serve(stage: Stage) -> None:
    """Last: it ends the Redis for a while."""
    first, second = stage.program.endpoint, stage.other.address
    space_id, _ = stage.management.space("without")
    stage.management.deploy(space_id, "redis", {"index.js": COMMANDS})
    stage.redis.kill()
    assert stage.logins(first, "198.51.100.9", IP_LIMIT + 1) == [None] * IP_LIMIT + [
        "Throttling.Api"
    ]
    assert stage.logins(second, "198.51.100.9", 1) == [None]
    assert stage.redis_in(space_id, ["GET", "k"]) == [{"code": "InternalServerError"}]
    stage.redis.start()
    poll(lambda: stage.redis_in(space_id, ["SET", "k", "v"]) == ["OK"], 20, told=stage.redis.log)
    poll(lambda: counted_in_redis(stage), 30, told=stage.redis.log)


def counted_in_redis(stage: Stage) -> bool:
    """Whether one more request is."""
    stage.logins(stage.program.endpoint, "198.51.100.10", 1)
    return "198.51.100.10" in stage.redis.command("--scan")
