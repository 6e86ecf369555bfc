"""The whole program on a broker that wants TLS and a password, and on one that takes nothing any more."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.ports import SystemClock
from runtime.tls.local_ca import LocalCa, local_names
from tests.e2e.conftest import RunSdk
from tests.harness.distributed import DistributedProgram
from tests.harness.lacking import NEEDS_RABBITMQ
from tests.harness.management import Management, ManagementError
from tests.harness.polling import poll
from tests.harness.program import free_port
from tests.harness.rabbitmq import RabbitMq
from tests.harness.rabbitmq_tls import tls_config

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    NEEDS_RABBITMQ,
]

HELLO = "module.exports = async (ctx) => ({ hello: ctx.args.name ?? null });"
PASSWORD = "p@ss/w:rd%"
REFUSED_S = 5.0


@contextmanager
def serving(
    broker: RabbitMq, folder: Path, **settings: str
) -> Iterator[tuple[DistributedProgram, Management]]:
    program = DistributedProgram(folder / "data", YUNHAN_SANDBOX="process", **settings)
    try:
        program.start()
        yield program, Management(program.endpoint, program.access_key())
        assert program.stop() == 0, program.log()
    finally:
        program.kill()
        broker.stop()


def hello(management: Management) -> str:
    """A space with the function `hello`, for calls and for jobs."""
    space_id, _ = management.space("broker")
    management.deploy(space_id, "hello", {"index.js": HELLO}, HttpTriggerPath="/http/hello")
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    return space_id


def job_of(management: Management, space_id: str) -> str:
    answer = management.call("YunhanInvokeAsync", SpaceId=space_id, Name="hello", Args="{}")
    return str(answer["JobId"])


def test_tls_and_a_password_from_a_file(tmp_path: Path) -> None:
    ca = LocalCa(tmp_path / "tls", local_names("fn.localhost"), SystemClock())
    port = free_port()
    broker = RabbitMq(tmp_path / "broker", config=tls_config(ca, tmp_path, port)).start()
    broker.control("add_user", "runtime", PASSWORD)
    broker.control("set_permissions", "runtime", ".*", ".*", ".*")
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    settings = {
        "YUNHAN_QUEUE_URL": f"amqps://runtime@127.0.0.1:{port}/",
        "YUNHAN_QUEUE_PASSWORD_FILE": str(password),
        "YUNHAN_QUEUE_CA_FILE": str(ca.ca_path),
    }
    with serving(broker, tmp_path, **settings) as (program, management):
        space_id = hello(management)
        answer = management.invoke(space_id, "hello", {"name": "safe"})
        assert json.loads(answer["Result"]) == {"hello": "safe"}
        assert management.job_over(job_of(management, space_id))["State"] == "succeeded"
        connections = broker.control("list_connections", "user", "ssl").split("\n")
        assert {line.split()[0] for line in connections if line.strip()} >= {"runtime"}
        assert not [line for line in connections if "false" in line], "all of them use TLS"
        assert PASSWORD not in program.log()


def refused(call: Callable[[], object]) -> ManagementError:
    """Raises AssertionError when it was not refused, or not soon."""
    began = time.monotonic()
    with pytest.raises(ManagementError) as caught:
        call()
    assert time.monotonic() - began < REFUSED_S
    return caught.value


def test_a_broker_that_takes_nothing_refuses_at_once(tmp_path: Path, run_sdk: RunSdk) -> None:
    broker = RabbitMq(tmp_path / "broker").start()
    with serving(broker, tmp_path, YUNHAN_QUEUE_URL=broker.url) as (program, management):
        space_id = hello(management)
        secret = management.call("DescribeSpaceClientConfig", SpaceId=space_id)["ApiKey"]

        def by_sdk() -> dict[str, Any]:
            return run_sdk(
                "run.cjs",
                endpoint=program.endpoint,
                host="alipay",
                spaceId=space_id,
                clientSecret=secret,
                steps=[
                    ["authorize", {"authType": "anonymous"}],
                    ["invoke", "hello", {"name": "sdk"}],
                ],
            )[1]

        assert by_sdk()["value"]["result"] == {"hello": "sdk"}
        broker.alarm(on=True)
        try:
            for _ in range(2):  # the first one may find out
                for call in (
                    lambda: management.invoke(space_id, "hello"),
                    lambda: job_of(management, space_id),
                ):
                    assert refused(call).status in {429, 503}
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(
                    f"{program.endpoint}/trigger/{space_id}/http/hello", timeout=REFUSED_S
                )
            with caught.value as answer:
                assert answer.status in {429, 503}
                assert int(answer.headers["Retry-After"]) > 0
            assert by_sdk()["error"]["code"].startswith("Throttling")
        finally:
            broker.alarm(on=False)
        parts = (program.main, *program.workers)
        poll(lambda: all(part.ready() for part in parts), 30, told=program.log)
        assert by_sdk()["value"]["result"] == {"hello": "sdk"}
        assert management.job_over(job_of(management, space_id))["State"] == "succeeded"
