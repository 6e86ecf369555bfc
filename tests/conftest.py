"""Every test starts from the same ground: no settings in the environment, an unconfigured log."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# Hooks: a session says who it is to the kernel.
from tests.escape.statement import pytest_report_header, pytest_terminal_summary  # noqa: F401
from tests.harness.lacking import lacks
from tests.harness.rabbitmq import RabbitMq, missing_reason
from tests.harness.redis_server import RedisServer
from tests.harness.redis_server import missing_reason as redis_missing_reason

settings.register_profile("yunhan", deadline=None)  # no test says how fast a machine is
settings.load_profile("yunhan")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Programs in the distributed form need a broker (`tests.harness.program`)."""
    distributed = os.environ.get("YUNHAN_TEST_FORM") == "distributed"
    if distributed and os.environ.get("CI") != "true" and (reason := missing_reason()):
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def clean_ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("YUNHAN_")]:
        if not name.startswith("YUNHAN_TEST_"):
            monkeypatch.delenv(name)
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """One broker for all tests that leave it as it was. Missing: a skip here, a failure where CI=true."""
    if reason := missing_reason():
        lacks(reason)
    broker = RabbitMq(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield broker.start()
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests that use keys of their own. Missing: a skip here, a failure where CI=true."""
    if reason := redis_missing_reason():
        lacks(reason)
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.kill()
