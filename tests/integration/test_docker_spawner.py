"""One container as a sandbox: the contract, its walls, its ends, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import OutcomeKind, SandboxError, Spawner
from sandbox.host_process import HostProcess
from sandbox.spawners.docker_engine import DockerEngine
from sandbox.spawners.docker_options import (
    OWNER_LABEL,
    SANDBOX_LABEL,
    DockerOptions,
    owner_of,
)
from sandbox.spawners.docker_uids import UIDS
from sandbox.testing import SpawnerContract
from sandbox.testing_functions import write_js_functions
from tests.integration.docker_support import (
    bound,
    containers,
    do,
    engine_client,
    function_folder,
    make,
    started,
    value,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[Any]:
    with engine_client() as client:
        yield client


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return function_folder(tmp_path_factory.mktemp("s"))


def node_processes(names: list[str]) -> list[int]:
    """The processes of this machine with these names."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() in names:
                found.append(int(process.name))
    return found


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def limit_of(pid: int, name: str) -> list[str]:
    """Soft and hard."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(name)]
    return line.removeprefix(name).split()[:2]


class TestDockerSpawner(SpawnerContract):
    def make_spawner(self, folder: Path) -> Spawner:
        write_js_functions(folder / "code")
        return make(folder)

    def code_dir(self, folder: Path, function: str) -> Path:
        return folder / "code" / function


# --- walls ----------------------------------------------------------------------------------------


async def test_what_a_function_sees_and_may_not_do(folder: Path) -> None:
    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        seen = await value(sandbox, "walls")
        assert seen["uid"] in UIDS
        assert (seen["gid"], seen["groups"]) == (seen["uid"], [seen["uid"]])
        assert seen["user"] == "function"
        assert seen["root"] == seen["code"] == "EROFS"
        assert seen["unlink"] in {"ENOENT", "EROFS"}
        assert seen["channel"] == ["hosts", "passwd"]
        # reading them takes a netlink socket, which is refused: an error object without a code
        assert seen["interfaces"] in (["lo"], [], "ERR_SYSTEM_ERROR")
        assert seen["resolv"] in ([], ["nameserver 127.0.0.1"])
        assert seen["status"]["NoNewPrivs"] == "1"
        assert seen["status"]["Seccomp"] == "2"
        assert int(seen["status"]["CapEff"], 16) == int(seen["status"]["CapBnd"], 16) == 0
        known = {"HOME", "HOSTNAME", "LANG", "PATH", "TMPDIR", "TZ"}
        assert set(seen["environment"]) & set(os.environ) <= known
        assert not [name for name in seen["environment"] if name.startswith("YUNHAN")]
        assert seen["shm"] in {"ENOENT", "EROFS", "EACCES"}
        assert seen["limits"] == ["1024", "0"] or seen["limits"] == ["0", "1024"]
        assert "home" not in seen["top"]
        assert await value(sandbox, "noexec") == "EACCES"
        assert await value(sandbox, "loopback") == "hello"
        assert await value(sandbox, "outside") == "ENETUNREACH"


async def test_disk_inodes_and_processes_are_bounded(folder: Path) -> None:
    options = DockerOptions(tmp_mb=8, tmp_inodes_max=500, pids_max=64)
    async with started(folder, options=options) as spawner:
        sandbox = await bound(spawner, folder, memory_mb=512)
        assert await value(sandbox, "disk") == [8, "ENOSPC"]
        files, said = await value(sandbox, "inodes")
        assert files < 500
        assert said == "ENOSPC"
        children, said = await value(sandbox, "forks")
        assert children < 64
        assert said == "EAGAIN"


async def test_a_running_container_is_as_hard_as_it_was_asked_to_be(
    folder: Path, engine: Any
) -> None:
    options = DockerOptions(cpus=0.5, pids_max=70, files_max=99, tmp_mb=7, tmp_inodes_max=80)
    async with started(folder, options=options) as spawner:
        await bound(spawner, folder, "hard", memory_mb=256)
        [found] = containers(engine, folder)
        inspected = await asyncio.to_thread(engine.inspect_container, found)
        host, config = inspected["HostConfig"], inspected["Config"]
        uid = int(config["User"].partition(":")[0])
        assert config["User"] == f"{uid}:{uid}"
        assert uid in UIDS
        assert config["Labels"][SANDBOX_LABEL] == "hard"
        assert config["Labels"][OWNER_LABEL] == owner_of((folder / "run").resolve())
        assert host["ReadonlyRootfs"] is True
        assert host["Privileged"] is False
        assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], None)
        assert "no-new-privileges:true" in host["SecurityOpt"]
        [seccomp] = [item for item in host["SecurityOpt"] if item.startswith("seccomp=")]
        profile = json.loads(seccomp.removeprefix("seccomp="))
        assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
        assert (host["NetworkMode"], host["IpcMode"]) == ("none", "none")
        assert host["Memory"] == host["MemorySwap"] == 256 * 1024 * 1024
        assert (host["PidsLimit"], host["NanoCpus"]) == (70, 500_000_000)
        assert {"Name": "nofile", "Soft": 99, "Hard": 99} in host["Ulimits"]
        assert {"noexec", "nosuid", "nodev", "size=7m", "nr_inodes=80"} <= set(
            host["Tmpfs"]["/tmp"].split(",")
        )
        log = host["LogConfig"]
        assert (log["Type"], log["Config"]) == ("json-file", {"max-size": "64k", "max-file": "2"})
        assert all(not mount["RW"] for mount in inspected["Mounts"])
        # and what the kernel says of its first process
        pid = inspected["State"]["Pid"]
        status = status_of(pid)
        assert status["Uid"].split() == [str(uid)] * 4
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        assert {int(status[name], 16) for name in sets} == {0}
        assert limit_of(pid, "Max open files") == ["99", "99"]


async def test_every_container_has_a_uid_and_sockets_of_its_own(folder: Path, engine: Any) -> None:
    async with started(folder) as spawner:
        for sandbox_id in ("one", "two"):
            await bound(spawner, folder, sandbox_id)
        uids = {
            int(
                (await asyncio.to_thread(engine.inspect_container, found))["Config"]["User"].split(
                    ":"
                )[0]
            )
            for found in containers(engine, folder)
        }
        assert len(uids) == 2
        if os.geteuid() == 0:
            folders = list((folder / "run").glob("sb-*"))
            assert {path.stat().st_gid for path in folders} == uids
            assert {path.stat().st_mode & 0o007 for path in folders} == {0}


async def test_uids_of_another_worker_on_the_engine_are_left_alone(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, engine: Any
) -> None:
    other = tmp_path_factory.mktemp("o")
    async with started(folder, uids="900000-900003") as first:
        for sandbox_id in ("one", "two"):
            await bound(first, folder, sandbox_id)
        async with started(other, uids="900000-900003") as second:
            third = await bound(second, folder, "one")
            assert await value(third, "count") == 1
            assert len(containers(engine, folder)) == 2
            assert len(containers(engine, other)) == 1


async def test_a_range_of_uids_that_is_used_up_is_refused(folder: Path, engine: Any) -> None:
    async with started(folder, uids="900010-900010") as spawner:
        one = await bound(spawner, folder, "one")
        with pytest.raises(SandboxError, match="1 uids"):
            await bound(spawner, folder, "two")
        await one.stop()
        assert (await bound(spawner, folder, "two")).alive
    assert containers(engine, folder) == []


# --- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "args", "kind", "text"),
    [
        ("buffers", {}, OutcomeKind.OUT_OF_MEMORY, "128 MB"),
        ("heap", {}, OutcomeKind.OUT_OF_MEMORY, "128 MB"),
        ("abort", {}, OutcomeKind.CRASHED, "SIGABRT"),
        ("kill", {}, OutcomeKind.SANDBOX_LOST, "SIGKILL"),
        ("segv", {}, OutcomeKind.CRASHED, "SIGSEGV"),
        ("exit", {"code": 0}, OutcomeKind.EXITED, "code 0"),
        ("exit", {"code": 7}, OutcomeKind.EXITED, "code 7"),
    ],
)
async def test_ends_are_told_apart(
    folder: Path, action: str, args: dict[str, Any], kind: OutcomeKind, text: str
) -> None:
    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        ending = await do(sandbox, action, **args)
        assert ending.kind is kind, ending
        assert ending.fault is not None
        assert text in ending.fault.message


async def test_a_container_that_somebody_removes_is_our_loss(folder: Path, engine: Any) -> None:
    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        run = asyncio.create_task(do(sandbox, "never"))
        await asyncio.sleep(0)
        [container] = containers(engine, folder)
        await asyncio.to_thread(engine.remove_container, container, force=True)
        ending = await run
        assert ending.kind is OutcomeKind.SANDBOX_LOST, ending
        await sandbox.stop()
        assert (await bound(spawner, folder)).alive


async def test_without_a_view_of_its_processes_the_engine_is_asked(
    folder: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostProcess, "find", lambda *_: None)
    async with started(folder) as spawner:
        busy = await bound(spawner, folder, "busy")
        assert (await do(busy, "spin", timeout_s=0.2)).kind is OutcomeKind.TIMEOUT
        await asyncio.wait_for(busy.wait_ended(), 10)
        aborting = await bound(spawner, folder, "aborting")
        assert (await do(aborting, "abort")).kind is OutcomeKind.CRASHED
        await (await bound(spawner, folder, "idle")).stop()
    assert containers(engine, folder) == []


async def test_many_that_are_killed_from_outside_at_once_are_our_loss(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may kill the processes of other users")
    async with started(folder) as spawner:
        sandboxes = [await bound(spawner, folder, f"s{number}") for number in range(8)]
        titles = [f"k{os.getpid()}-{number}" for number in range(len(sandboxes))]
        for sandbox, title in zip(sandboxes, titles, strict=True):
            assert (await do(sandbox, "title", title=title)).kind is OutcomeKind.OK
        runs = [asyncio.create_task(do(sandbox, "never")) for sandbox in sandboxes]
        await asyncio.sleep(0)
        pids = node_processes(titles)
        assert len(pids) == len(sandboxes)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        endings = await asyncio.gather(*runs)
        assert {ending.kind for ending in endings} == {OutcomeKind.SANDBOX_LOST}, endings


async def test_an_engine_that_does_not_say_how_a_container_ended_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root sees and may signal the processes of other users")
    asked = asyncio.Event()

    async def silent(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with started(folder) as spawner:
        sandbox = await bound(spawner, folder)
        monkeypatch.setattr(DockerEngine, "state", silent)
        run = asyncio.create_task(do(sandbox, "kill"))
        ending = await asyncio.wait_for(run, 10)
        assert asked.is_set()
        assert ending.kind is OutcomeKind.SANDBOX_LOST, ending


# --- what cannot be --------------------------------------------------------------------------------


async def test_an_unknown_runtime_is_refused_with_advice(folder: Path) -> None:
    spawner = make(folder, options=DockerOptions(runtime="no-such-runtime"))
    with pytest.raises(SandboxError, match="YUNHAN_DOCKER_RUNTIME"):
        await spawner.start()


async def test_an_engine_that_does_not_answer_is_refused_with_advice(folder: Path) -> None:
    spawner = make(folder, docker_host=f"unix://{folder}/no.sock")
    with pytest.raises(SandboxError, match="systemctl start docker"):
        await spawner.start()


async def test_a_run_directory_of_somebody_else_is_refused(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "run").symlink_to(folder / "elsewhere")
    with pytest.raises(SandboxError, match="not a directory of this user"):
        await make(folder).start()
