"""Hostile functions on every rung: what they got hold of, and whether an innocent one still answers.

An attack says what it did and what it got: the latter is empty when the walls held, and the former never;
ending any other way is a wall that held, too, if the row says so. `process` has no walls: there an attack has
to get through, which shows that it is one. What a rung shows without harm is named in its row
(tests/escape/attack_table.py), with the reason.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import OutcomeKind, Spawner
from sandbox.node_sandbox import NodeSandbox
from sandbox.testing_functions import RecordingHost
from tests.escape.attack_table import TABLE, Attack
from tests.escape.conftest import HostThings, survivors
from tests.escape.rungs import WALLED
from tests.escape.sandboxes import (
    Neighbour,
    assert_innocent_answers,
    findings,
    invoke,
    open_sandbox,
)
from tests.escape.statement import PROPERTY
from tests.escape.system_calls import MESSAGE_QUEUE

pytestmark = pytest.mark.integration


async def test_the_rung_is_what_it_says(
    rung: str, spawner: Spawner, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    """Its figures are printed at the end of every session."""
    sandbox = await open_sandbox(spawner, folder, "statement", "statement")
    try:
        ending = await invoke(sandbox, {})
    finally:
        await sandbox.stop()
    assert ending.value is not None, ending
    told = json.loads(ending.value)
    inside = ", ".join(f"{name} {value}" for name, value in told.items())
    weak = f"; weaker: {' '.join(spawner.weaknesses)}" if spawner.weaknesses else ""
    record_property(PROPERTY, f"{rung}: inside {inside}{weak}")
    if rung in WALLED:
        assert told["uid"] != 0
        assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0
        assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("attack", TABLE, ids=lambda attack: attack.name)
async def test_walls(
    attack: Attack,
    rung: str,
    spawner: Spawner,
    folder: Path,
    host: HostThings,
    neighbour: Neighbour,
) -> None:
    if attack.probe and (sys.platform != "linux" or platform.machine() != "x86_64"):
        pytest.skip("the program that makes system calls is for Linux on x86_64")
    if rung not in WALLED and attack.uncontrolled:
        pytest.skip(attack.uncontrolled)
    args = {
        **host.args,
        "gated": rung in WALLED,
        "token": neighbour.token,
        "neighbourPid": neighbour.pid,
        "neighbourFiles": [str(file) for file in neighbour.files],
        "neighbourSocket": str(neighbour.gate),
        **attack.args,
        **({} if rung in WALLED else _own(attack.control or {}, host)),
    }
    heard = RecordingHost()
    sandbox = await open_sandbox(
        spawner, folder, "attack", attack.script, probe=attack.probe, memory_mb=attack.memory_mb
    )
    try:
        with _no_message_queue():
            ending = await invoke(sandbox, args, heard)
    finally:
        await sandbox.stop()
    found = findings(ending, heard.texts)
    got = [each for each in found.got if each not in attack.harmless.get(rung, {})]
    if ending.kind is not OutcomeKind.OK and ending.kind not in attack.may_end:
        got.append(f"{ending.kind}: {ending.fault}")
    got += [f"process {pid} outlived it" for pid in await survivors(host.args["marker"])]
    if ending.kind is OutcomeKind.OK or (attack.does and rung not in attack.open_on):
        wanted = attack.does if rung in WALLED or attack.control is None else {}
        least = {what: found.did.get(what, 0) for what in wanted}
        assert any(found.did.values()), f"it did nothing: {found.did}"
        assert all(least[what] >= wanted[what] for what in wanted), (
            f"too little was done: {found.did}"
        )
    if rung in attack.open_on:
        if not got:
            pytest.skip(f"expected to get through on {rung}, but this machine holds it by itself")
    else:
        assert not got, (rung, got, found.did)
        assert not host.reached(), (rung, host.reached())
    if attack.args.get("ignored"):
        assert isinstance(sandbox, NodeSandbox)
        assert sandbox.stray_frames > 0, "the forged frame did not come"
    assert heard.calls == []
    assert "forged" not in heard.texts
    await neighbour.assert_unharmed()
    await assert_innocent_answers(spawner, folder)


def _own(control: dict[str, Any], host: HostThings) -> dict[str, Any]:
    """`control` with the test's own process and folder."""
    own = {"$victim": host.victim.pid, "$folder": host.args["ownFolder"]}

    def real(value: Any) -> Any:
        if isinstance(value, list):
            return [real(each) for each in value]
        return own.get(value, value) if isinstance(value, str) else value

    return {name: real(value) for name, value in control.items()}


@contextlib.contextmanager
def _no_message_queue() -> Iterator[None]:
    """The one that a row makes where nothing holds it belongs to the machine."""
    try:
        yield
    finally:
        if sys.platform == "linux":
            ctypes.CDLL(None).mq_unlink(b"/" + MESSAGE_QUEUE)


async def test_a_polluted_sandbox_goes_on(spawner: Spawner, folder: Path) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "pollute")
    try:
        first, second = RecordingHost(), RecordingHost()
        ending = await invoke(sandbox, {}, first, request_id="one")
        assert ending.kind is OutcomeKind.OK, ending
        assert first.texts == ["still heard"]
        ending = await invoke(sandbox, {}, second, request_id="two")
        assert (ending.kind, ending.value) == (OutcomeKind.OK, b'{"did":{"runs":2},"got":[]}')
    finally:
        await sandbox.stop()
    await assert_innocent_answers(spawner, folder)


UNSENDABLE = {OutcomeKind.RESULT_NOT_SERIALIZABLE}
TOO_MUCH = {OutcomeKind.RESULT_TOO_LARGE, OutcomeKind.OUT_OF_MEMORY}


@pytest.mark.parametrize(
    ("result", "kinds"),
    [
        ("huge", TOO_MUCH),
        ("many escapes", TOO_MUCH),
        ("deep 500", {OutcomeKind.OK}),
        ("deep million", UNSENDABLE | TOO_MUCH),
        ("a circle", UNSENDABLE),
        ("a big integer", UNSENDABLE),
        ("half a character", {OutcomeKind.OK}),
        ("a getter that leaves", {OutcomeKind.EXITED, OutcomeKind.NO_RESULT}),
        ("a proxy of everything", TOO_MUCH),
        ("a promise that never comes true", {OutcomeKind.TIMEOUT, OutcomeKind.NO_RESULT}),
        ("numbers that are none", {OutcomeKind.OK}),
    ],
)
async def test_odd_results(
    result: str, kinds: set[OutcomeKind], spawner: Spawner, folder: Path, neighbour: Neighbour
) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "odd_results")
    try:
        ending = await invoke(sandbox, {"result": result}, timeout_s=8)
    finally:
        await sandbox.stop()
    assert ending.kind in kinds, ending
    if ending.kind is OutcomeKind.OK:
        assert ending.value is not None
        json.loads(ending.value)
    await neighbour.assert_unharmed()
    await assert_innocent_answers(spawner, folder)
