"""The whole program on a broker that wants TLS and a password, and on one that takes nothing any more."""

from __future__ import annotations

import json
import os
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
from tests.harness.management import Management, ManagementError
from tests.harness.program import free_port
from tests.harness.rabbitmq import RabbitMq, missing_reason

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        bool(missing_reason()) and os.environ.get("CI") != "true", reason=missing_reason() or "-"
    ),
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


def until_over(management: Management, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 40
    while True:
        job = dict(management.call("YunhanDescribeJob", JobId=job_id)["Job"])
        if job["State"] not in {"queued", "running"}:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)  # another process: there is nothing to wait on


def test_tls_and_a_password_from_a_file(tmp_path: Path) -> None:
    ca = LocalCa(tmp_path / "tls", local_names("fn.localhost"), SystemClock())
    pair = ca.server_certificate()
    (tmp_path / "chain.pem").write_bytes(pair.chain_pem)
    (tmp_path / "key.pem").write_bytes(pair.key_pem)
    port = free_port()
    broker = RabbitMq(
        tmp_path / "broker",
        config=f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.certfile = {tmp_path / 'chain.pem'}\n"
        f"ssl_options.keyfile = {tmp_path / 'key.pem'}\n"
        f"ssl_options.cacertfile = {ca.ca_path}\n"
        "ssl_options.verify = verify_none\n",
    ).start()
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
        assert until_over(management, job_of(management, space_id))["State"] == "succeeded"
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
        deadline = time.monotonic() + 30
        while not all(part.ready() for part in (program.main, *program.workers)):
            assert time.monotonic() < deadline, program.log()
            time.sleep(0.05)  # other processes: there is nothing to wait on
        assert by_sdk()["value"]["result"] == {"hello": "sdk"}
        assert until_over(management, job_of(management, space_id))["State"] == "succeeded"
