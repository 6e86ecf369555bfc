"""Too much at once over the channel: the worker's memory stays bounded, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sandbox.api import OutcomeKind, Spawner
from sandbox.testing_functions import RecordingHost
from tests.escape.sandboxes import (
    Neighbour,
    assert_innocent_answers,
    findings,
    invoke,
    open_sandbox,
)

pytestmark = pytest.mark.integration

CALLS = 90
GROWTH_MAX_MB = 150
INNOCENT_CALLS = 20
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_ANSWER_AFTER_S = 0.7


class SlowHost(RecordingHost):
    """Holds what it was asked for a while, as a busy database would: long enough for all calls to come, if
    they were let."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        await asyncio.sleep(_ANSWER_AFTER_S)
        self.answered += 1
        size = len(params)
        return json.dumps({"success": True, "data": size, "requestId": "r"}).encode()


def reset_peak_mb() -> int:
    """What it has now."""
    CLEAR_REFS.write_text(_RESET_PEAK)
    return peak_mb()


def peak_mb() -> int:
    """The most memory that this process, the worker of these sandboxes, had since it was last reset."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


@pytest.mark.skipif(not CLEAR_REFS.exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("act", "mb"), [("calls", 5), ("raw calls", 12)])
async def test_ninety_large_service_calls_cost_the_worker_little(
    act: str, mb: int, spawner: Spawner, folder: Path, neighbour: Neighbour
) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "floods", memory_mb=1024)
    host = SlowHost()
    before = reset_peak_mb()
    try:
        ending = await invoke(sandbox, {"do": act, "calls": CALLS, "mb": mb}, host, timeout_s=40)
    finally:
        await sandbox.stop()
    growth = peak_mb() - before
    if act == "calls":
        assert ending.kind is OutcomeKind.OK, ending
        did = findings(ending, []).did
        assert (did["calls"], did["answered"]) == (CALLS, host.answered)
        assert host.answered > 0
    else:
        # Nobody asked whether there is room for them.
        assert ending.kind is OutcomeKind.PROTOCOL_ERROR, ending
    assert growth < GROWTH_MAX_MB, f"{growth} MB more"
    await neighbour.assert_unharmed()
    await assert_innocent_answers(spawner, folder)


@pytest.mark.parametrize("act", ["raw logs", "empty logs", "raw logs for nobody"])
async def test_a_flood_of_log_frames_leaves_room_for_others(
    act: str, spawner: Spawner, folder: Path, neighbour: Neighbour
) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "floods")
    heard = RecordingHost()
    try:
        async with asyncio.TaskGroup() as group:
            flood = group.create_task(invoke(sandbox, {"do": act}, heard, timeout_s=8))
            while not heard.texts and not flood.done():
                await asyncio.sleep(0.01)  # its first line comes through the channel like any other
            served = 0
            while not flood.done() and served < INNOCENT_CALLS:
                await neighbour.assert_unharmed()
                served += 1
            still_flooding = not flood.done()
        ending = flood.result()
    finally:
        await sandbox.stop()
    limits = sandbox.spec.limits
    assert len(heard.lines) <= limits.log_lines_max
    assert ending.kind in {OutcomeKind.TIMEOUT, OutcomeKind.PROTOCOL_ERROR}, ending
    if ending.kind is OutcomeKind.TIMEOUT:
        assert (served, still_flooding) == (INNOCENT_CALLS, True)
    await neighbour.assert_unharmed()
    await assert_innocent_answers(spawner, folder)
