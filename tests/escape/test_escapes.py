"""Hostile functions on every rung: what they got hold of, and whether an innocent one still answers.

An attack returns what it got, an empty list when the walls held; ending any other way is a wall that
held, too, if the row says so. `process` has no walls: its rows say what is expected to get through.
What a rung shows without harm is named in its row (tests/escape/attack_table.py), with the reason.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import (
    Binding,
    Ending,
    Invocation,
    OutcomeKind,
    Sandbox,
    SandboxError,
    SandboxSpec,
    Spawner,
)
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.egress.access import EgressAccess
from sandbox.egress.policy import EgressPolicy
from sandbox.landlock_privileges import check_privileges
from sandbox.landlock_rules import landlock_abi
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.docker import DockerSpawner
from sandbox.spawners.docker_fitness import engine_url
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.spawners.process import ProcessSpawner
from sandbox.testing_functions import RecordingHost
from tests.escape.attack_table import TABLE, Attack

pytestmark = pytest.mark.integration

ATTACKS = Path(__file__).parent / "attacks"
SECRET = "secret-of-the-worker"
MEMORY_MB = 128


def egress() -> EgressAccess:
    """Public addresses, as an operator has it who set nothing."""
    return EgressAccess(policy=EgressPolicy.from_text())


def bubblewrap(*, use_cgroups: bool) -> Callable[[Path], Spawner]:
    def make(folder: Path) -> Spawner:
        return BubblewrapSpawner(
            run_dir=folder / "run",
            views_dir=folder / "views",
            bootstrap_dir=bootstrap_dir(),
            use_cgroups=use_cgroups,
            egress=egress(),
        )

    return make


RUNGS: dict[str, Callable[[Path], Spawner]] = {
    "process": lambda folder: ProcessSpawner(run_dir=folder / "run", bootstrap_dir=bootstrap_dir()),
    "bubblewrap": bubblewrap(use_cgroups=True),
    "bubblewrap-watcher": bubblewrap(use_cgroups=False),
    "docker": lambda folder: DockerSpawner(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        egress=egress(),
    ),
    "landlock": lambda folder: LandlockSpawner(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        egress=egress(),
    ),
}


def missing(rung: str) -> str | None:
    """What this machine lacks for a rung."""
    if rung.startswith("bubblewrap") and shutil.which("bwrap") is None:
        return "the program bwrap"
    if rung == "docker":
        url = engine_url()
        with socket.socket(socket.AF_UNIX) as knock:
            if knock.connect_ex(url.removeprefix("unix://")):
                return f"a Docker engine at {url}"
    if rung == "landlock":
        try:
            check_privileges()
            landlock_abi()
        except SandboxError as error:
            return str(error)
    return None


def engine_sockets() -> list[str]:
    usual = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"]
    return [*usual, engine_url().removeprefix("unix://")]


def addresses() -> list[str]:
    """This machine's own."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return []
    hosts = {str(address[0]) for *_, address in found}
    return sorted(f"[{host}]" if ":" in host else host for host in hosts)


@pytest.fixture(params=RUNGS)
def rung(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    lacking = missing(name)
    if lacking is not None:
        assert os.environ.get("CI") != "true", f"CI has to have {lacking}"
        pytest.skip(f"this machine has not {lacking}")
    return name


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e")


@pytest.fixture
async def spawner(
    rung: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Spawner]:
    monkeypatch.setenv("WORKER_SECRET", SECRET)
    spawner = RUNGS[rung](folder)
    await spawner.start()
    try:
        yield spawner
    finally:
        await spawner.stop()


@pytest.fixture
def host(folder: Path) -> Iterator[dict[str, Any]]:
    """Things of the host that nobody inside may reach."""
    (folder / "secret").write_text(SECRET)
    name = f"escape-{os.getpid()}"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(8)
        abstract.bind(f"\0{name}")
        abstract.listen(8)
        yield {
            "secret": SECRET,
            "marker": f"survivor of {folder}",
            "hostFile": str(folder / "secret"),
            "workerPid": os.getpid(),
            "tcpPort": tcp.getsockname()[1],
            "abstractName": name,
            "hostname": socket.gethostname(),
            "addresses": addresses(),
            "engineSockets": engine_sockets(),
            "listeners": [tcp, abstract],
            "neighbourFiles": [
                str(folder / "run" / "sb-neighbour"),
                str(folder / "views" / "sb-neighbour"),
                str(folder / "neighbour"),
            ],
            "neighbourSocket": str(folder / "run" / "sb-neighbour" / "channel"),
        }


async def open_sandbox(
    spawner: Spawner, folder: Path, name: str, script: str, probe: bytes = b""
) -> Sandbox:
    """A sandbox of its own, bound to the script. `probe` is an executable beside it."""
    code_dir = folder / name
    code_dir.mkdir()
    shutil.copyfile(ATTACKS / f"{script}.js", code_dir / "index.js")
    if probe:
        (code_dir / "probe").write_bytes(probe)
        (code_dir / "probe").chmod(0o755)
    spec = SandboxSpec(sandbox_id=name, node_major=24, memory_mb=MEMORY_MB)
    sandbox = await spawner.spawn(spec)
    binding = Binding(space_id="mp-s", function=name, deployment_id="d", code_dir=code_dir)
    bound = await sandbox.bind(binding, request_id="load", host=RecordingHost())
    assert bound.kind is OutcomeKind.OK, bound
    return sandbox


async def invoke(
    sandbox: Sandbox, args: object, host: RecordingHost, *, request_id: str = "req"
) -> Ending:
    payload = json.dumps(args).encode()
    invocation = Invocation(request_id=request_id, args=payload, env={}, timeout_s=20)
    return await sandbox.run(invocation, host)


async def run(
    spawner: Spawner,
    folder: Path,
    name: str,
    script: str,
    args: object,
    *,
    probe: bytes = b"",
    heard: RecordingHost | None = None,
) -> Ending:
    """In a sandbox that is stopped afterwards. `heard` gets what reaches the worker."""
    sandbox = await open_sandbox(spawner, folder, name, script, probe)
    try:
        return await invoke(sandbox, args, heard or RecordingHost())
    finally:
        await sandbox.stop()


async def assert_innocent_answers(spawner: Spawner, folder: Path) -> None:
    heard = RecordingHost()
    ending = await run(spawner, folder, "innocent", "innocent", {}, heard=heard)
    assert (ending.kind, ending.value) == (OutcomeKind.OK, b"[]")
    assert heard.lines == []
    assert heard.calls == []


@pytest.mark.parametrize("attack", TABLE, ids=lambda attack: attack.name)
async def test_walls(
    attack: Attack, rung: str, spawner: Spawner, folder: Path, host: dict[str, Any]
) -> None:
    if rung in attack.never_on:
        pytest.skip(f"it would harm this machine on the rung {rung}")
    if attack.probe and (sys.platform != "linux" or platform.machine() != "x86_64"):
        pytest.skip("the program that makes system calls is for Linux on x86_64")
    listeners = host.pop("listeners")
    neighbour = await spawner.spawn(
        SandboxSpec(sandbox_id="neighbour", node_major=24, memory_mb=MEMORY_MB)
    )
    (folder / "neighbour").mkdir()
    args = {**host, "gated": spawner.isolates, **attack.args}
    heard = RecordingHost()
    ending = await run(
        spawner, folder, "attack", attack.script, args, probe=attack.probe, heard=heard
    )
    if ending.kind is OutcomeKind.OK and ending.value is not None:
        got = json.loads(ending.value)
    else:
        got = [] if ending.kind in attack.may_end else [f"{ending.kind}: {ending.fault}"]
    got = [each for each in got if each not in attack.harmless.get(rung, {})]
    if rung in attack.open_on:
        if not got:
            pytest.skip(f"expected to get through on {rung}, but this machine holds it by itself")
    else:
        assert not got, (rung, got)
        assert not any(map(was_reached, listeners)), f"a server of the host was reached on {rung}"
    assert neighbour.alive
    assert heard.calls == []
    assert "forged" not in heard.texts
    await assert_innocent_answers(spawner, folder)
    await asyncio.to_thread(assert_nobody_stayed, host["marker"])


def was_reached(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


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
    result: str, kinds: set[OutcomeKind], spawner: Spawner, folder: Path
) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "odd_results")
    try:
        invocation = Invocation(
            request_id="req", args=json.dumps({"result": result}).encode(), env={}, timeout_s=8
        )
        ending = await sandbox.run(invocation, RecordingHost())
    finally:
        await sandbox.stop()
    assert ending.kind in kinds, ending
    if ending.kind is OutcomeKind.OK:
        assert ending.value is not None
        json.loads(ending.value)
    await assert_innocent_answers(spawner, folder)


async def test_late_work_says_nothing_in_the_next_run(spawner: Spawner, folder: Path) -> None:
    sandbox = await open_sandbox(spawner, folder, "attack", "late")
    try:
        first = await invoke(sandbox, {}, RecordingHost(), request_id="one")
        assert (first.kind, first.value) == (OutcomeKind.OK, b"[]")
        heard = RecordingHost()
        second = await invoke(sandbox, {}, heard, request_id="two")
        assert (second.kind, second.value) == (OutcomeKind.OK, b"[]")
        assert heard.lines == []
    finally:
        await sandbox.stop()


def assert_nobody_stayed(marker: str) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert f"// {marker}".encode() not in text, f"process {entry.name} outlived its sandbox"
