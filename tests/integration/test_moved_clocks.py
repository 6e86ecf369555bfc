"""Workers whose clocks are an hour wrong, in separate programs: libfaketime moves their wall clock alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.distributed import DistributedProgram
from tests.harness.lacking import NEEDS_RABBITMQ
from tests.harness.management import Management

LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
LEASE_S = 2.0
JOBS = 6
RUN_MS = 5000
"""Longer than two leases."""

pytestmark = [
    pytest.mark.integration,
    NEEDS_RABBITMQ,
    pytest.mark.skipif(
        not Path(LIBRARY).exists() and os.environ.get("CI") != "true",
        reason="no libfaketime: apt-get install faketime",
    ),
]


def moved(by: str) -> dict[str, str]:
    """The wall clock alone: a machine whose clock is set wrong has a sound monotonic one."""
    return {"LD_PRELOAD": LIBRARY, "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[DistributedProgram]:
    program = DistributedProgram(
        tmp_path / "data",
        YUNHAN_SANDBOX="process",
        YUNHAN_SLOTS="4",
        YUNHAN_ASYNC_LEASE_S=str(LEASE_S),
        YUNHAN_ASYNC_SWEEP_S="0.3",
        YUNHAN_ASYNC_SWEEP_GRACE_S="1",
    )
    program.add_worker(**moved("+1h"))
    program.add_worker(**moved("-1h"))
    try:
        program.start()
        yield program
        assert program.stop() == 0, program.log()
    finally:
        program.kill()


def test_they_neither_lose_their_jobs_nor_take_those_of_others(
    program: DistributedProgram,
) -> None:
    management = Management(program.endpoint, program.access_key())
    space, _ = management.space("clocks")
    code = "module.exports = async (ctx) => new Promise((r) => setTimeout(r, ctx.args.ms, 'slept'))"
    management.deploy(space, "slow", {"index.js": code}, Timeout=60)
    args = json.dumps({"ms": RUN_MS})
    ids = [
        management.call("YunhanInvokeAsync", SpaceId=space, Name="slow", Args=args)["JobId"]
        for _ in range(JOBS)
    ]
    deadline = time.monotonic() + 60
    ended = [
        management.job_over(job_id, deadline - time.monotonic(), SpaceId=space) for job_id in ids
    ]
    assert [each["State"] for each in ended] == ["succeeded"] * JOBS, ended
    assert [each["AttemptsMade"] for each in ended] == [1] * JOBS, ended
    workers = {each["Attempts"][0]["WorkerId"] for each in ended}
    assert len(workers) > 1, "one worker did it all: nothing was shown"
