"""`yunhan gateway` and `yunhan worker` over a real broker: readiness, drain, and what a lost worker costs."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.harness.distributed import DistributedProgram
from tests.harness.lacking import NEEDS_RABBITMQ
from tests.harness.management import Management, ManagementError
from tests.harness.polling import poll
from tests.harness.program import Process, free_port
from tests.harness.rabbitmq import RabbitMq

pytestmark = [
    pytest.mark.integration,
    NEEDS_RABBITMQ,
]

FUNCTIONS = {
    "hello": "module.exports = async (ctx) => ({ hello: ctx.args.name ?? null });",
    "slow": """module.exports = async (ctx) => {
  await new Promise((resolve) => setTimeout(resolve, ctx.args.ms));
  return ctx.args.i ?? null;
};""",
}
LEASE_S = 2.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DistributedProgram]:
    program = DistributedProgram(
        tmp_path_factory.mktemp("separate") / "data",
        YUNHAN_SANDBOX="process",
        YUNHAN_SLOTS="4",
        YUNHAN_ASYNC_LEASE_S=str(LEASE_S),
        YUNHAN_ASYNC_SWEEP_S="0.3",
        YUNHAN_ASYNC_SWEEP_GRACE_S="1",
        YUNHAN_ASYNC_BACKOFF_FIRST_S="0.1",
    )
    program.start()
    yield program
    assert program.stop() == 0, program.log()


@pytest.fixture(scope="module")
def management(program: DistributedProgram) -> Management:
    return Management(program.endpoint, program.access_key())


@pytest.fixture(scope="module")
def space_id(management: Management) -> str:
    space_id, _ = management.space("separate")
    for name, code in FUNCTIONS.items():
        management.deploy(space_id, name, {"index.js": code}, Timeout=60)
    return space_id


def not_ready(address: str) -> tuple[int, dict[str, Any]] | None:
    """The answer of /readyz once it says so."""
    status, body = get(f"{address}/readyz")
    return (status, body) if status == 503 else None


def get(address: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def running(worker: Process) -> float:
    return worker.metrics()["yunhan_invocations_running"]


def in_background(call: Callable[[], dict[str, Any]]) -> Future[dict[str, Any]]:
    future: Future[dict[str, Any]] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - the test reads it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@pytest.fixture
def second(program: DistributedProgram) -> Iterator[Process]:
    """One more worker for one test."""
    worker = program.add_worker()
    worker.start()
    yield worker
    program.workers.remove(worker)
    assert worker.end(signal.SIGTERM) in {0, -signal.SIGKILL}, worker.log()


def test_a_call_and_its_log_cross_the_programs(
    program: DistributedProgram, management: Management, space_id: str
) -> None:
    answer = management.invoke(space_id, "hello", {"name": "you"})
    assert json.loads(answer["Result"]) == {"hello": "you"}
    done = program.cli("invoke", "hello", "--space", space_id, "--args", '{"name":"cli"}', "--json")
    assert json.loads(done.stdout)["result"] == {"hello": "cli"}, done.stderr
    logs = program.cli("logs", "hello", "--space", space_id)
    assert logs.returncode == 0, logs.stderr


def _is_ready(part: Process) -> bool:
    return get(f"{part.address}/readyz") == (200, {"status": "ready"})


def test_both_tell_their_health(program: DistributedProgram) -> None:
    for part in (program.main, program.workers[0]):
        assert get(f"{part.address}/healthz") == (200, {"status": "ok"})
        poll(partial(_is_ready, part))
    assert "yunhan_slots_free" in program.workers[0].metrics()
    assert "yunhan_slots_free" not in program.main.metrics()


def test_the_server_is_described_by_its_workers(management: Management) -> None:
    facts = management.call("YunhanDescribeServer")
    assert facts["Rung"] == "process"
    assert facts["Isolates"] is False
    assert facts["NodeVersions"]
    [worker] = facts["Workers"]
    assert worker["Slots"] == 4


def test_an_asynchronous_job_runs(management: Management, space_id: str) -> None:
    job_id = management.call("YunhanInvokeAsync", SpaceId=space_id, Name="hello", Args="{}")[
        "JobId"
    ]
    job = management.job_over(job_id, 20, SpaceId=space_id)
    assert job["State"] == "succeeded", job
    assert len(job["Attempts"]) == 1


def test_a_worker_that_drains_says_so_and_finishes(
    program: DistributedProgram, management: Management, space_id: str
) -> None:
    worker = program.workers[0]
    call = in_background(lambda: management.invoke(space_id, "slow", {"ms": 1500, "i": 7}))
    poll(lambda: running(worker) == 1)
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    status, body = poll(partial(not_ready, worker.address))
    assert (status, body["problems"]) == (503, {"program": "is stopping"})
    waiting = in_background(lambda: management.invoke(space_id, "hello", {"name": "later"}))
    assert call.result(20)["Result"] == "7"
    assert worker.process.wait(20) == 0, worker.log()
    assert not waiting.done()
    worker.start()
    assert json.loads(waiting.result(20)["Result"]) == {"hello": "later"}


def test_a_second_signal_ends_a_worker_at_once(
    program: DistributedProgram, management: Management, space_id: str, second: Process
) -> None:
    call = in_background(lambda: management.invoke(space_id, "slow", {"ms": 20_000}))
    busy = poll(lambda: next((w for w in program.workers if running(w) == 1), None))
    assert busy.process is not None
    busy.process.send_signal(signal.SIGTERM)
    poll(lambda: get(f"{busy.address}/readyz")[0] == 503)
    busy.process.send_signal(signal.SIGTERM)
    assert busy.process.wait(5) == 130
    assert call.result(20)["Outcome"] == "worker_lost"
    busy.start()


def test_the_caller_of_a_killed_worker_learns_it_within_a_second(
    program: DistributedProgram, management: Management, space_id: str, second: Process
) -> None:
    call = in_background(lambda: management.invoke(space_id, "slow", {"ms": 20_000}))
    busy = poll(lambda: next((w for w in program.workers if running(w) == 1), None))
    killed = time.monotonic()
    busy.end(signal.SIGKILL)
    answer = call.result(20)
    took_s = time.monotonic() - killed
    assert (answer["Success"], answer["Outcome"]) == (False, "worker_lost")
    assert answer["Error"]["Code"] == "FunctionServerError"
    assert took_s < 5, "its own connection told the broker"
    busy.start()


def test_a_job_of_a_killed_worker_is_run_again(
    program: DistributedProgram, management: Management, space_id: str, second: Process
) -> None:
    args = json.dumps({"ms": 4000, "i": 3})
    job_id = management.call("YunhanInvokeAsync", SpaceId=space_id, Name="slow", Args=args)["JobId"]
    # before that, no attempt is spent
    poll(lambda: management.job(job_id, SpaceId=space_id)["State"] == "running")
    busy = poll(lambda: next((w for w in program.workers if running(w) == 1), None))
    busy.end(signal.SIGKILL)
    try:
        job = management.job_over(job_id, 40, SpaceId=space_id)
    finally:
        busy.start()
    assert job["State"] == "succeeded", job
    assert len(job["Attempts"]) == 2, job


def test_a_stopping_worker_leaves_its_job_to_another(
    program: DistributedProgram, management: Management, space_id: str
) -> None:
    """The grace is over before the job is: another attempt begins at once, without waiting for a lease."""
    worker = program.add_worker(YUNHAN_DRAIN_GRACE_S="0.2", YUNHAN_ASYNC_LEASE_S="120")
    first = program.workers[0]
    assert first.end(signal.SIGTERM) == 0
    worker.start()
    try:
        args = json.dumps({"ms": 4000, "i": 4})
        job_id = management.call("YunhanInvokeAsync", SpaceId=space_id, Name="slow", Args=args)[
            "JobId"
        ]
        poll(lambda: management.job(job_id, SpaceId=space_id)["State"] == "running")
        assert worker.end(signal.SIGTERM) == 0
    finally:
        program.workers.remove(worker)
        first.start()
    job = management.job_over(job_id, 30, SpaceId=space_id)
    assert job["State"] == "succeeded", job
    assert [attempt["Outcome"] for attempt in job["Attempts"]] == ["worker_lost", "ok"]


def test_a_change_reaches_the_next_call_and_retires_old_sandboxes(
    program: DistributedProgram, management: Management, space_id: str
) -> None:
    for version in range(3):
        code = f"module.exports = async () => {version};"
        management.deploy(space_id, "changed", {"index.js": code})
        assert management.invoke(space_id, "changed")["Result"] == str(version)
    idle = program.workers[0].metrics()["yunhan_sandboxes"]
    management.call("DeleteFunction", SpaceId=space_id, Name="changed")
    poll(lambda: program.workers[0].metrics()["yunhan_sandboxes"] < idle)


def test_the_loss_of_the_broker_is_told_and_survived(tmp_path: Path) -> None:
    broker = RabbitMq(tmp_path / "broker").start()
    program = DistributedProgram(
        tmp_path / "data", YUNHAN_SANDBOX="process", YUNHAN_QUEUE_URL=broker.url
    )
    try:
        program.start()
        management = Management(program.endpoint, program.access_key())
        space_id, _ = management.space("broker")
        management.deploy(space_id, "hello", {"index.js": FUNCTIONS["hello"]})
        broker.kill()
        for part in (program.main, program.workers[0]):
            status, body = poll(partial(not_ready, part.address))
            assert (status, list(body["problems"])) == (503, ["queue"])
            assert get(f"{part.address}/healthz")[0] == 200
        with ThreadPoolExecutor(1) as threads:
            refused = threads.submit(refusal, management, space_id).result(20)
        assert refused == "InternalServerError", "a typed error, in time"
        broker.start()
        for part in (program.main, program.workers[0]):
            poll(part.ready, 30)
        assert management.invoke(space_id, "hello")["Outcome"] == "ok"
        assert program.stop() == 0, program.log()
    finally:
        program.kill()
        broker.stop()


def refusal(management: Management, space_id: str) -> object:
    with pytest.raises(ManagementError) as caught:
        management.invoke(space_id, "hello")
    assert caught.value.status == 503
    return caught.value.code


def test_a_wrong_master_key_is_told_at_the_start(
    program: DistributedProgram, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.key"
    wrong.write_bytes(base64.b64encode(os.urandom(32)))
    for command in ("gateway", "worker"):
        done = run_once(program, command, tmp_path, YUNHAN_MASTER_KEY_FILE=str(wrong))
        assert done.returncode == 1
        assert "this is not the master key of this installation" in done.stderr


def test_what_must_be_shared_is_asked_for(program: DistributedProgram, tmp_path: Path) -> None:
    for command in ("gateway", "worker"):
        done = run_once(
            program,
            command,
            tmp_path,
            YUNHAN_QUEUE_URL="memory:",
            YUNHAN_DOCUMENTS_URL="embedded:",
            YUNHAN_FILES_URL="file:",
        )
        assert done.returncode == 2
        for setting in ("YUNHAN_QUEUE_URL", "YUNHAN_DOCUMENTS_URL", "YUNHAN_FILES_URL"):
            assert setting in done.stderr


def run_once(
    program: DistributedProgram, command: str, folder: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    environ = {
        **program.environ,
        "YUNHAN_DATA_DIR": str(folder / "other"),
        "YUNHAN_HTTP": f"127.0.0.1:{free_port()}",
        "YUNHAN_HTTPS": "",
        "YUNHAN_WORKER_HTTP": "",
        **settings,
    }
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli.main", command],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_gateway_refuses_a_taken_directory(program: DistributedProgram) -> None:
    done = program.cli("gateway")
    assert done.returncode == 1
    assert "another program uses" in done.stderr


def test_keys_are_the_same_for_every_gateway(program: DistributedProgram, tmp_path: Path) -> None:
    """A second gateway on another machine: it learns the key of the first."""
    other = DistributedProgram(tmp_path / "second")
    gateway = Process(
        "gateway",
        {**program.environ, **addresses_of(other)},
        address=other.endpoint,
        log_path=tmp_path / "second.log",
    )
    gateway.start()
    try:
        key = other.access_key()
        assert key == program.access_key()
        assert Management(other.endpoint, key).call("ListSpace", PageNum=1, PageSize=10)["Spaces"]
    finally:
        assert gateway.end(signal.SIGTERM) == 0, gateway.log()


def addresses_of(program: DistributedProgram) -> dict[str, str]:
    return {
        name: program.environ[name] for name in ("YUNHAN_DATA_DIR", "YUNHAN_HTTP", "YUNHAN_HTTPS")
    }
