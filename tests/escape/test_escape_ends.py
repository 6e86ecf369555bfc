"""Functions that end their process or never stop: each has its own ending, and its neighbour answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandbox.api import OutcomeKind, Spawner
from sandbox.testing_functions import RecordingHost
from tests.escape.sandboxes import Neighbour, assert_innocent_answers, invoke, open_sandbox

pytestmark = pytest.mark.integration

CRASHED, EXITED = OutcomeKind.CRASHED, OutcomeKind.EXITED
# The channel is gone: that, or what the process then did, is seen first.
CUT_OFF = {OutcomeKind.NO_RESULT, OutcomeKind.PROTOCOL_ERROR, CRASHED, EXITED}

ENDS: dict[str, set[OutcomeKind]] = {
    "abort": {CRASHED},
    "segmentation fault": {CRASHED},
    "bus error": {CRASHED},
    # Nobody can say whose SIGKILL it was.
    "killed by itself": {CRASHED, OutcomeKind.SANDBOX_LOST},
    "terminated by itself": {CRASHED, EXITED},
    "stopped by itself": {OutcomeKind.TIMEOUT},
    "exit 0": {EXITED},
    "exit 70, as the bootstrap does": {EXITED},
    "exit 71, as the bootstrap does": {EXITED, OutcomeKind.PROTOCOL_ERROR},
    "exit behind our back": {EXITED},
    "an error that nobody catches": {OutcomeKind.FUNCTION_ERROR},
    "a rejection that nobody awaits": {OutcomeKind.FUNCTION_ERROR},
    "recursion without end": {OutcomeKind.FUNCTION_ERROR},
    "the channel closed": CUT_OFF,
    "the gate in the place of the channel": CUT_OFF,
}
LOOPS = [
    *("a loop", "a loop of microtasks", "a loop of ticks", "a loop of immediates"),
    *("an expression without end", "a wait without end", "busy threads", "busy children"),
    "a loop deaf to signals",
]


@pytest.mark.parametrize("way", ENDS)
async def test_an_end_is_told_and_hurts_nobody(
    way: str, spawner: Spawner, folder: Path, neighbour: Neighbour
) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "ends")
    heard = RecordingHost()
    try:
        ending = await invoke(sandbox, {"way": way}, heard, timeout_s=3)
    finally:
        await sandbox.stop()
    assert heard.texts[0] == f"does {way}"
    assert ending.kind in ENDS[way], ending
    assert ending.fault is not None
    assert "into the wrong socket" not in heard.texts
    await neighbour.assert_unharmed()
    await assert_innocent_answers(spawner, folder)


@pytest.mark.parametrize("way", LOOPS)
async def test_a_loop_ends_by_its_limit_and_others_answer_meanwhile(
    way: str, spawner: Spawner, folder: Path, neighbour: Neighbour
) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "ends", memory_mb=512)
    heard = RecordingHost()
    try:
        async with asyncio.TaskGroup() as group:
            busy = group.create_task(invoke(sandbox, {"way": way}, heard, timeout_s=3))
            await _until_begun(heard, busy)
            await neighbour.assert_unharmed()
            await assert_innocent_answers(spawner, folder)
        ending = busy.result()
    finally:
        await sandbox.stop()
    assert ending.kind is OutcomeKind.TIMEOUT, ending
    await neighbour.assert_unharmed()
    await assert_innocent_answers(spawner, folder)


async def _until_begun(heard: RecordingHost, busy: asyncio.Task[object]) -> None:
    while not heard.texts and not busy.done():
        await asyncio.sleep(0.01)  # its first line comes through the channel like any other
