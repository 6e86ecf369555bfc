"""Spoilt objects of the SDK: what reaches the next invocation, and what never does.

The border of tenants is the deployment: its invocations, whichever user they are for, share one process
and everything that lives in it. So a function can do to itself what it likes. It cannot act for an
invocation that has ended, nor make its calls anybody else's, nor touch a sandbox of another deployment.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import OutcomeKind, Sandbox, Spawner
from sandbox.testing_functions import RecordingHost
from tests.escape.sandboxes import assert_innocent_answers, invoke, open_sandbox

pytestmark = pytest.mark.integration


@pytest.fixture
async def spoilt(spawner: Spawner, folder: Path) -> AsyncIterator[tuple[Sandbox, RecordingHost]]:
    """A sandbox after a hostile invocation, and what that one's host gets."""
    sandbox = await open_sandbox(spawner, folder, "attack", "objects")
    first = RecordingHost()
    try:
        assert await do(sandbox, first, "one", "spoil") == "spoilt"
        yield sandbox, first
    finally:
        await sandbox.stop()
    await assert_innocent_answers(spawner, folder)


async def do(sandbox: Sandbox, host: RecordingHost, request_id: str, act: str) -> Any:
    ending = await invoke(sandbox, {"do": act, "who": request_id}, host, request_id=request_id)
    assert ending.kind is OutcomeKind.OK, ending
    assert ending.value is not None
    return json.loads(ending.value)


async def test_the_next_invocation_of_the_same_deployment_sees_them(
    spoilt: tuple[Sandbox, RecordingHost],
) -> None:
    sandbox, _ = spoilt
    told = await do(sandbox, RecordingHost(), "two", "use")
    assert any(line.startswith("invoke") and '"two"' in line for line in told["seen"]), told
    assert any(line.startswith("request") for line in told["seen"]), told
    assert told["http"] == "spoilt"
    assert told["left"] == "left"


async def test_its_calls_stay_its_own(spoilt: tuple[Sandbox, RecordingHost]) -> None:
    sandbox, first = spoilt
    second = RecordingHost()
    told = await do(sandbox, second, "two", "use")
    args = {"do": "use", "who": "two"}
    assert (told["own"], told["answer"]) == ("two", {"answer": args})
    assert [(params["functionArgs"], user) for _, params, user in second.calls] == [(args, None)]
    assert first.calls == []


async def test_a_kept_context_acts_for_the_invocation_that_runs(
    spoilt: tuple[Sandbox, RecordingHost],
) -> None:
    sandbox, first = spoilt
    second = RecordingHost()
    await do(sandbox, second, "two", "useKept")
    assert len(second.calls) == 1
    assert first.calls == []


async def test_work_of_an_ended_invocation_calls_for_nobody(
    spoilt: tuple[Sandbox, RecordingHost],
) -> None:
    sandbox, first = spoilt
    second, third = RecordingHost(), RecordingHost()
    assert await do(sandbox, second, "two", "lateUse") == "later"
    seen = await do(sandbox, third, "three", "wait")
    assert "InvocationEnded" in seen, seen
    assert "answered late" not in seen
    assert first.calls == second.calls == third.calls == []


async def test_another_deployment_has_its_own(
    spoilt: tuple[Sandbox, RecordingHost], spawner: Spawner, folder: Path
) -> None:
    other = await open_sandbox(spawner, folder, "other", "objects")
    try:
        told = await do(other, RecordingHost(), "two", "use")
    finally:
        await other.stop()
    assert told["seen"] == []
    assert told["left"] is None
    assert told["http"] != "spoilt"
    assert told["answer"] == {"answer": {"do": "use", "who": "two"}}
