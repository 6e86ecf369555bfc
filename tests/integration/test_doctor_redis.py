"""`yunhan doctor` and a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.doctor_findings import State
from runtime.cli.doctor_redis import check_redis
from runtime.settings import Settings
from tests.harness.lacking import lacks
from tests.harness.redis_server import RedisServer, missing_reason

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    if reason := missing_reason():
        lacks(reason)
    server = RedisServer(
        tmp_path / "redis",
        options=(
            "user default off",
            "user asks on >p:w ~* +@all",
            "user plain on >p:w ~* +@all -config",
        ),
    )
    try:
        yield server.start()
    finally:
        server.kill()


def settings_of(server: RedisServer, user: str, password: str = "p%3Aw") -> Settings:
    return Settings(redis_url=f"redis://{user}:{password}@127.0.0.1:{server.port}/0")


def test_an_unbounded_redis_is_warned_of_until_it_is_set_as_advised(server: RedisServer) -> None:
    settings = settings_of(server, "asks")
    finding = check_redis(settings)
    assert finding.state is State.WARNING
    assert len(finding.details) == 2  # its policy is noeviction from the start
    admin = ("--user", "asks", "--pass", "p:w", "CONFIG", "SET")
    server.command(*admin, "maxmemory", "100mb")
    server.command(*admin, "client-output-buffer-limit", "normal 16mb 8mb 5")
    assert check_redis(settings).text.endswith("takes connections and bounds its memory")


def test_a_user_that_may_not_ask(server: RedisServer) -> None:
    finding = check_redis(settings_of(server, "plain"))
    assert finding.state is State.OK
    assert "could not be asked" in finding.text
    assert "NOPERM" in finding.text


def test_a_wrong_password_is_a_problem_and_not_told(server: RedisServer) -> None:
    finding = check_redis(settings_of(server, "asks", "secret-one"))
    assert finding.state is State.PROBLEM
    assert "WRONGPASS" in finding.text
    assert "secret-one" not in finding.text + finding.next_step
    assert "YUNHAN_REDIS_PASSWORD_FILE" in finding.next_step
