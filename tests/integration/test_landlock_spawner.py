"""What the rung of Landlock promises beyond the contract: uids, ends, what it hides, nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox import landlock_plan
from sandbox.api import Binding, Ending, Invocation, OutcomeKind, Sandbox, SandboxError, SandboxSpec
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.egress.access import EgressAccess
from sandbox.egress.policy import EgressPolicy
from sandbox.landlock_plan import OPTIONAL_NAMESPACES
from sandbox.landlock_privileges import check_privileges
from sandbox.landlock_process import LandlockProcess
from sandbox.landlock_rules import SCOPES_SINCE, Rules, landlock_abi, make_rules
from sandbox.landlock_uids import uid_in_use
from sandbox.memory_watcher import children_by_parent
from sandbox.node_sandbox import NodeSandbox
from sandbox.spawners import landlock
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.testing_functions import RecordingHost

pytestmark = pytest.mark.integration

EVALUATE = "module.exports = async (ctx) => await (0, eval)(ctx.args.code)"
WAIT_S = 10.0


@pytest.fixture(autouse=True)
def privileges() -> None:
    missing = None
    try:
        check_privileges()
        landlock_abi()
    except SandboxError as error:
        missing = str(error)
    if missing is not None:
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("l")
    (folder / "code").mkdir()
    (folder / "code" / "index.js").write_text(EVALUATE)
    return folder


def make(folder: Path, **options: Any) -> LandlockSpawner:
    return LandlockSpawner(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        **options,
    )


@pytest.fixture
async def spawner(folder: Path) -> AsyncIterator[LandlockSpawner]:
    spawner = make(folder)
    await spawner.start()
    try:
        yield spawner
    finally:
        await spawner.stop()


async def bound(spawner: LandlockSpawner, folder: Path, sandbox_id: str = "one") -> Sandbox:
    made = await spawner.spawn(SandboxSpec(sandbox_id=sandbox_id, node_major=24, memory_mb=128))
    binding = Binding(space_id="mp-s", function="f", deployment_id="d", code_dir=folder / "code")
    ending = await made.bind(binding, request_id="load", host=RecordingHost())
    assert ending.kind is OutcomeKind.OK, ending
    return made


async def run(sandbox: Sandbox, code: str) -> Ending:
    args = json.dumps({"code": code}).encode()
    invocation = Invocation(request_id="req", args=args, env={}, timeout_s=20)
    return await sandbox.run(invocation, RecordingHost())


async def value(sandbox: Sandbox, code: str) -> Any:
    ending = await run(sandbox, code)
    assert ending.value is not None, ending
    return json.loads(ending.value)


def process_of(sandbox: Sandbox) -> LandlockProcess:
    assert isinstance(sandbox, NodeSandbox)
    handle = sandbox._handle
    assert isinstance(handle, LandlockProcess)
    return handle


async def test_each_sandbox_has_a_uid_that_nobody_has_afterwards(
    spawner: LandlockSpawner, folder: Path
) -> None:
    sandboxes = [await bound(spawner, folder, name) for name in ("one", "two")]
    uids = [await value(sandbox, "process.getuid()") for sandbox in sandboxes]
    assert len({*uids, 0, spawner._uids.init_uid}) == 4
    assert all(uid_in_use(uid) for uid in uids)
    for sandbox in sandboxes:
        await sandbox.stop()
    assert not any(uid_in_use(uid) for uid in uids)


@pytest.mark.parametrize("code", [3, 137, 255])
async def test_an_exit_code_is_never_taken_for_a_signal(
    spawner: LandlockSpawner, folder: Path, code: int
) -> None:
    sandbox = await bound(spawner, folder)
    ending = await run(sandbox, f"process.exit({code})")
    assert ending.kind is OutcomeKind.EXITED
    exit_ = await process_of(sandbox).wait()
    assert (exit_.code, exit_.signal) == (code, None)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGABRT", "SIGKILL", "SIGSEGV"])
async def test_a_signal_arrives_as_that_signal(
    spawner: LandlockSpawner, folder: Path, name: str
) -> None:
    sandbox = await bound(spawner, folder)
    how = "process.abort()" if name == "SIGABRT" else f"process.kill(process.pid, '{name}')"
    ending = await run(sandbox, f"{how}; new Promise(() => {{}})")
    # SIGKILL could be anybody's.
    lost = name == "SIGKILL"
    assert ending.kind is (OutcomeKind.SANDBOX_LOST if lost else OutcomeKind.CRASHED)
    exit_ = await process_of(sandbox).wait()
    assert (exit_.code, exit_.signal, exit_.oom) == (None, getattr(signal, name), False)


async def test_what_waits_for_node_is_hidden_and_out_of_reach(
    spawner: LandlockSpawner, folder: Path
) -> None:
    sandbox = await bound(spawner, folder)
    shown = await value(
        sandbox,
        """
        const fs = process.getBuiltinModule('fs');
        const refused = (act) => { try { act(); return false; } catch (e) { return e.code; } };
        ({
          processes: fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).map(Number),
          own: process.pid,
          init: refused(() => fs.readFileSync('/proc/1/cmdline')),
          signal: refused(() => process.kill(1, 0)),
        })
        """,
    )
    assert shown["processes"] == [shown["own"]]
    assert shown["init"] == "ENOENT"
    assert shown["signal"] in {"EPERM", "ESRCH"}


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def open_files(pid: int | str) -> list[str]:
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]


async def test_supervisor_and_init_have_no_rights(spawner: LandlockSpawner, folder: Path) -> None:
    sandbox = await bound(spawner, folder)
    supervisor = process_of(sandbox).pid
    (init,) = children_by_parent()[supervisor]
    for pid in (supervisor, init):
        status = status_of(pid)
        assert set(status["Uid"].split()) == {str(spawner._uids.init_uid)}
        assert status["Groups"].strip() == ""
        assert {int(status[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {
            0
        }
        assert status["NoNewPrivs"] == "1"
        assert not [name for name in open_files(pid) if not name.startswith(("pipe:", "/dev/null"))]


async def reached(spawner: LandlockSpawner, folder: Path) -> str:
    """What a server of the host says to a function: that it came, or why it did not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        sandbox = await bound(spawner, folder, "guest")
        code = f"""
        new Promise((resolve) => {{
          const socket = process.getBuiltinModule('net').connect({port}, '127.0.0.1');
          socket.on('data', (data) => resolve(String(data))).on('error', (e) => resolve(e.code));
        }})
        """
        said = await value(sandbox, code)
        await sandbox.stop()
    return str(said)


@pytest.mark.parametrize("missing", [set(), {"net"}])
async def test_egress_is_the_only_way_out(
    folder: Path, missing: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing and landlock_abi() < SCOPES_SINCE:
        pytest.skip("this kernel is too old to do without network namespaces")
    monkeypatch.setattr(landlock, "namespaces_here", lambda: OPTIONAL_NAMESPACES - missing)
    said = []
    for allow in ("127.0.0.1", ""):
        access = EgressAccess(policy=EgressPolicy.from_text(allow=allow))
        spawner = make(folder, egress=access)
        await spawner.start()
        try:
            said.append(await reached(spawner, folder))
        finally:
            await spawner.stop()
    assert said == ["welcome", "EACCES"]


async def test_without_network_namespaces_no_family_but_unix_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "namespaces_here", lambda: OPTIONAL_NAMESPACES - {"net"})
    if landlock_abi() < SCOPES_SINCE:
        with pytest.raises(SandboxError, match="abstract sockets"):
            await make(folder).start()
        return
    spawner = make(folder)
    await spawner.start()
    try:
        assert ["network" in sentence for sentence in spawner.weaknesses] == [True]
        sandbox = await bound(spawner, folder)
        code = """
        new Promise((resolve) => {
          const server = process.getBuiltinModule('net').createServer();
          server.on('error', (e) => resolve(e.code)).listen(0, '127.0.0.1', () => resolve(''));
        })
        """
        assert await value(sandbox, code) == "EAFNOSUPPORT"
    finally:
        await spawner.stop()


async def test_an_old_kernel_without_network_namespaces_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "namespaces_here", lambda: OPTIONAL_NAMESPACES - {"net"})
    monkeypatch.setattr(landlock, "landlock_abi", lambda: SCOPES_SINCE - 1)
    with pytest.raises(SandboxError, match="abstract sockets"):
        await make(folder).start()


async def test_an_old_kernel_with_all_namespaces_is_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "landlock_abi", lambda: 1)
    spawner = make(folder)
    await spawner.start()
    try:
        sandbox = await bound(spawner, folder)
        assert await value(sandbox, "1 + 1") == 2
        assert any("version 1" in sentence for sentence in spawner.weaknesses)
    finally:
        await spawner.stop()


async def test_landlock_holds_where_mounts_and_rights_would_let_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_folder_to_write(abi: int, *, writable: Sequence[str], **options: Any) -> Rules:
        return make_rules(abi, writable=["/dev/shm"], **options)

    monkeypatch.setattr(landlock_plan, "make_rules", no_folder_to_write)
    spawner = make(folder)
    await spawner.start()
    try:
        sandbox = await bound(spawner, folder)
        code = """
        const fs = process.getBuiltinModule('fs');
        ['/dev/shm', '/tmp'].map((name) => {
          try { fs.writeFileSync(`${name}/x`, ''); return 'written'; } catch (e) { return e.code; }
        })
        """
        assert await value(sandbox, code) == ["written", "EACCES"]
    finally:
        await spawner.stop()


async def test_says_what_does_not_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "filter_program", lambda machine: bytes(7))
    with pytest.raises(SandboxError, match=r"sandbox launcher: .*It needs root"):
        await make(folder).start()


WORKER = """
import asyncio, sys, time
from pathlib import Path
from sandbox import landlock_plan
from sandbox.api import Binding, SandboxSpec
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.testing_functions import RecordingHost

async def main(folder):
    spawner = LandlockSpawner(
        run_dir=folder / "run", views_dir=folder / "views", bootstrap_dir=bootstrap_dir()
    )
    await spawner.start()
    sandbox = await spawner.spawn(SandboxSpec(sandbox_id="one", node_major=24, memory_mb=128))
    binding = Binding(space_id="mp-s", function="f", deployment_id="d", code_dir=folder / "code")
    await sandbox.bind(binding, request_id="load", host=RecordingHost())
    print("uid", sandbox._handle._uid, spawner._guard._process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""
DETACHED = """
const { spawn } = process.getBuiltinModule('child_process');
const nothing = ['-e', 'setInterval(() => {}, 1000)'];
spawn(process.execPath, nothing, { detached: true, stdio: 'ignore', cwd: '/' });
module.exports = async () => 1;
"""


async def start_and_stop(spawner: LandlockSpawner) -> None:
    await spawner.start()
    await spawner.stop()


def processes_of(uid: int) -> list[int]:
    found = []
    for pid in (pid for children in children_by_parent().values() for pid in children):
        # Of strangers, gone meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if status_of(pid)["Uid"].split()[0] == str(uid):
                found.append(pid)
    return found


def cgroup_folders(pid: int) -> list[Path]:
    """Those that the worker made for this process."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    fields = [line.split(":", 2) for line in lines]
    mount = Path("/sys/fs/cgroup")
    return [mount / names / path.lstrip("/") for _, names, path in fields if "/yunhan-" in path]


@pytest.mark.parametrize("guarded", [True, False])
def test_nothing_outlives_a_worker_that_was_killed(folder: Path, guarded: bool) -> None:
    (folder / "code" / "index.js").write_text(DETACHED)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout is not None
        said = next(line for line in worker.stdout if line.startswith("uid "))
        uid, guard = map(int, said.split()[1:])
        if not guarded:  # then the kernel's signal of the parent's death has to do
            os.kill(guard, signal.SIGKILL)
        pids = processes_of(uid)
        groups = cgroup_folders(pids[0])
        pidfds = [os.pidfd_open(pid) for pid in pids]
    finally:
        worker.kill()
        worker.communicate()
    assert len(pidfds) == 2
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], WAIT_S)[0], "a process outlived its worker"
        os.close(pidfd)
    left = [folder / "run" / "sb-one", folder / "views" / "sb-one"]
    assert all(path.exists() for path in left)
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    asyncio.run(start_and_stop(make(folder)))
    assert not any(path.exists() for path in left)
    assert not any(group.exists() for group in groups)


async def test_no_descriptor_of_ours_stays_open(spawner: LandlockSpawner, folder: Path) -> None:
    await (await bound(spawner, folder, "first")).stop()
    before = len(open_files("self"))
    for number in range(5):
        await (await bound(spawner, folder, f"n{number}")).stop()
    assert len(open_files("self")) == before
