"""What a function left running says nothing in the log of another invocation, whichever way it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.api import OutcomeKind, Spawner
from sandbox.testing_functions import RecordingHost
from tests.escape.sandboxes import assert_innocent_answers, invoke, open_sandbox

pytestmark = pytest.mark.integration

WAYS = [
    *("timeout", "interval", "tick", "promise"),
    *("resource of the module", "snapshot of the module"),
    *("message channel of the module", "message channel of its own", "finalization registry"),
    *("output of a child", "a child that writes where we do", "raw descriptors"),
    *("kept logger", "kept logger in the module", "kept logger in a snapshot"),
    *("uncaught rejection", "trace and dir", "warning of the process"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_late_work_says_nothing_in_the_next_run(
    way: str, spawner: Spawner, folder: Path
) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "late")
    try:
        first = await invoke(sandbox, {"way": way}, request_id="one")
        assert (first.kind, first.value) == (OutcomeKind.OK, b"0")
        for request_id in ("two", "three"):
            heard = RecordingHost()
            ending = await invoke(sandbox, {}, heard, request_id=request_id)
            assert ending.kind is OutcomeKind.OK, ending
            assert ending.value is not None
            assert json.loads(ending.value) > 0, "nothing worked on, so nothing is proven"
            assert heard.texts == ["mine"]
    finally:
        await sandbox.stop()
    await assert_innocent_answers(spawner, folder)
