"""SIGTERM: what was accepted is answered, also what still waits for a slot; then nothing is left."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.run import leftovers
from tests.harness.management import Management
from tests.harness.polling import poll
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

SLOW = """
module.exports = async (ctx) => {
  await new Promise((resolve) => setTimeout(resolve, 400));
  return ctx.args.i;
};
"""


def test_accepted_calls_are_answered_before_the_program_ends(tmp_path: Path) -> None:
    program = Program(tmp_path / "data", YUNHAN_SANDBOX="process", YUNHAN_SLOTS="2").start()
    try:
        management = Management(program.endpoint, program.access_key())
        space_id, _ = management.space("stop")
        management.deploy(space_id, "slow", {"index.js": SLOW})
        management.invoke(space_id, "slow", {"i": -1})
        with ThreadPoolExecutor(8) as threads:
            calls = [
                threads.submit(management.invoke, space_id, "slow", {"i": i}) for i in range(8)
            ]
            until_running(program)
            assert program.process is not None
            program.process.send_signal(signal.SIGTERM)
            answers = [call.result() for call in calls]
        assert sorted(answer["Result"] for answer in answers) == [str(i) for i in range(8)]
        assert program.process.wait(30) == 0, program.log()
    finally:
        program.kill()
    assert leftovers(program.data_dir) == []


def until_running(program: Program) -> None:
    """Until all eight calls were accepted: two run, six wait."""

    def arrived() -> bool:
        figures = program.metrics()
        return figures["yunhan_invocations_running"] + figures["yunhan_jobs_waiting"] == 8

    poll(arrived, 10, every_s=0.0, told=program.metrics)  # they run for 0.4 s each
