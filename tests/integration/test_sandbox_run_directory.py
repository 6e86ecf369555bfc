"""A worker's run directory: its lock, its end, and what is left by workers that were killed."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import SandboxError, SandboxSpec
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.cgroups import open_cgroups
from sandbox.local_spawner import LocalSpawner
from sandbox.run_directory import RunDirectory
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.spawners.process import ProcessSpawner
from tests.harness.sleepers import Sleepers

pytestmark = pytest.mark.integration


OWNER = """
import sys, time
from pathlib import Path
from sandbox.run_directory import RunDirectory

directory = RunDirectory(Path(sys.argv[1]), sys.argv[2])
directory.acquire()
(directory.shared / "etc").mkdir()
(directory.shared / "etc" / "hosts").touch()
(directory.path / "sb-one" / "work").mkdir(parents=True)
print("acquired", flush=True)
time.sleep(1000)
"""


class Owners:
    """Programs of which each holds a run directory until it is killed."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[str]] = []

    def start(self, path: Path, rung: str = "process") -> subprocess.Popen[str]:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(path), rung], stdout=subprocess.PIPE, text=True
        )
        self.all.append(owner)
        assert owner.stdout is not None
        assert owner.stdout.readline() == "acquired\n"
        return owner

    def kill(self, owner: subprocess.Popen[str]) -> None:
        owner.kill()
        owner.wait()
        assert owner.stdout is not None
        owner.stdout.close()


@pytest.fixture
def owners() -> Iterator[Owners]:
    owners = Owners()
    yield owners
    for owner in owners.all:
        owners.kill(owner)


def test_a_run_directory_is_gone_after_a_release(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run", "process")
    assert directory.acquire() == 0
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    (directory.shared / "etc").mkdir()
    (directory.shared / "etc" / "hosts").touch()
    (directory.shared / "launcher.pyc").touch()
    directory.release()
    assert list(tmp_path.iterdir()) == []
    directory.release()
    assert directory.acquire() == 0
    directory.release()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_kept(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run", "process")
    directory.acquire()
    (directory.path / "notes.txt").touch()
    directory.release()
    assert (directory.path / "notes.txt").exists()
    directory.acquire()  # the lock was given up all the same
    directory.release()


def test_a_live_workers_run_directory_is_refused(
    tmp_path: Path, owners: Owners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.run_directory._LOCK_WAIT_S", 0.1)
    owner = owners.start(tmp_path / "run")
    directory = RunDirectory(tmp_path / "run", "process")
    with pytest.raises(SandboxError, match="another live worker"):
        directory.acquire()
    directory.release()
    assert (tmp_path / "run" / "sb-one").exists()
    owners.kill(owner)
    assert directory.acquire() == 1
    assert [entry.name for entry in directory.shared.iterdir()] == ["lock"]
    directory.release()
    assert list(tmp_path.iterdir()) == []


def test_only_run_directories_of_the_dead_are_reclaimed(
    tmp_path: Path, owners: Owners, sleepers: Sleepers
) -> None:
    dead, live = owners.start(tmp_path / "dead"), owners.start(tmp_path / "live")
    left = sleepers.start(tmp_path / "dead" / "sb-one" / "work")
    kept = sleepers.start(tmp_path / "live" / "sb-one" / "work")
    for name in ("unlocked/sb-one", "unlocked/worker/etc", "foreign/worker", "foreign/sb-one"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "foreign" / "worker" / "lock").write_text("of another program")
    (tmp_path / "link").symlink_to(tmp_path / "dead")
    directory = RunDirectory(tmp_path / "mine", "process")
    directory.acquire()
    assert directory.reclaim_others() == []
    owners.kill(dead)
    assert directory.reclaim_others() == [tmp_path / "dead"]
    assert left.wait() == -signal.SIGKILL
    assert kept.poll() is None
    assert live.poll() is None
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")) == [
        "foreign/sb-one",
        "foreign/worker",
        "live/sb-one",
        "live/worker",
        "mine/worker",
        "unlocked/sb-one",
        "unlocked/worker",
    ]
    directory.release()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs control groups")
def test_control_groups_of_the_dead_are_reclaimed(tmp_path: Path, owners: Owners) -> None:
    folders = open_cgroups(tmp_path / "dead")
    if folders is None:
        pytest.skip("no control groups can be written here")
    roots = folders._roots
    for root in roots:
        (root / "one").mkdir()
    owners.kill(owners.start(tmp_path / "dead"))
    directory = RunDirectory(tmp_path / "mine", "process")
    directory.acquire()
    assert directory.reclaim_others() == [tmp_path / "dead"]
    assert not any(root.exists() for root in roots)
    directory.release()


def test_what_needs_an_engine_is_left_to_its_rung(tmp_path: Path, owners: Owners) -> None:
    for name, rung in (("local", "landlock"), ("docker", "docker")):
        owners.kill(owners.start(tmp_path / name, rung))
    local = RunDirectory(tmp_path / "mine", "process")
    local.acquire()
    assert local.reclaim_others() == [tmp_path / "local"]
    assert (tmp_path / "docker" / "sb-one").exists()
    local.release()
    # In its place it is kept for that rung, with nothing of the one that came between.
    between = RunDirectory(tmp_path / "docker", "process")
    assert between.acquire() == 1
    assert between.was_left
    (between.shared / "file").touch()
    between.release()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "docker",
        "docker/worker",
        "docker/worker/lock",
    ]
    same = RunDirectory(tmp_path / "mine", "docker")
    same.acquire()
    assert not same.was_left
    dead = same.take_dead(tmp_path / "docker")
    assert dead is not None
    assert same.take_dead(tmp_path / "docker") is None
    dead.release()
    assert same.reclaim_others() == [tmp_path / "docker"]
    same.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("gone_before", ["chmod", "resolve", "mkdir shared"])
def test_a_directory_that_somebody_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone_before: str
) -> None:
    directory = RunDirectory(tmp_path / "run", "process")
    method = gone_before.split(maxsplit=1)[0]
    original: Callable[..., Any] = getattr(Path, method)
    rounds: list[Path] = []

    def after_its_removal(path: Path, *args: Any, **more: Any) -> Any:
        if not rounds and (method != "mkdir" or path.name == "worker"):
            rounds.append(path)
            (tmp_path / "run").rmdir()
        return original(path, *args, **more)

    monkeypatch.setattr(Path, method, after_its_removal)
    assert directory.acquire() == 0
    assert len(rounds) == 1
    directory.release()


def test_a_directory_that_is_gone_after_it_was_there_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir
    rounds: list[Path] = []

    def exists_once(path: Path, *args: Any, **more: Any) -> None:
        if path.name == "run" and not rounds:
            rounds.append(path)
            raise FileExistsError(17, "File exists", str(path))
        mkdir(path, *args, **more)

    monkeypatch.setattr(Path, "mkdir", exists_once)
    directory = RunDirectory(tmp_path / "run", "process")
    assert directory.acquire() == 0
    assert len(rounds) == 1
    directory.release()


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(SandboxError, match="not a directory of this user"):
        RunDirectory(tmp_path / "run", "process").acquire()


@pytest.mark.timeout(30)
def test_a_pipe_named_lock_holds_nobody_up(tmp_path: Path) -> None:
    for name in ("dead", "run"):
        (tmp_path / name / "worker").mkdir(parents=True)
        os.mkfifo(tmp_path / name / "worker" / "lock")
    with pytest.raises(OSError, match="not a regular file"):
        RunDirectory(tmp_path / "run", "process").acquire()
    directory = RunDirectory(tmp_path / "mine", "process")
    directory.acquire()
    assert directory.reclaim_others() == []
    assert (tmp_path / "dead" / "worker" / "lock").exists()
    directory.release()


SPAWNERS: dict[str, Callable[[Path], LocalSpawner]] = {
    "process": lambda folder: ProcessSpawner(run_dir=folder / "run", bootstrap_dir=bootstrap_dir()),
    "landlock": lambda folder: LandlockSpawner(
        run_dir=folder / "run", views_dir=folder / "views", bootstrap_dir=bootstrap_dir()
    ),
    "bubblewrap": lambda folder: BubblewrapSpawner(
        run_dir=folder / "run", views_dir=folder / "views", bootstrap_dir=bootstrap_dir()
    ),
}


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path leaves room for sockets."""
    return tmp_path_factory.mktemp("l")


def below(folder: Path, pattern: str = "**/*") -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob(pattern))


@pytest.mark.parametrize("rung", SPAWNERS)
async def test_after_a_stop_nothing_is_left(short: Path, rung: str) -> None:
    if rung == "bubblewrap" and shutil.which("bwrap") is None:
        assert not os.environ.get("CI"), "CI has to have bubblewrap"
        pytest.skip("bubblewrap is not installed (apt-get install bubblewrap)")
    if rung == "landlock" and os.geteuid() != 0:
        pytest.skip("the rung landlock needs root")
    spawner = SPAWNERS[rung](short)
    group = f"yunhan-{hashlib.sha256(os.fsencode(short / 'run')).hexdigest()[:12]}"
    for number in range(2):  # it can be started again
        await spawner.start()
        await spawner.spawn(SandboxSpec(sandbox_id=f"s{number}", node_major=24, memory_mb=128))
        assert f"run/sb-s{number}" in below(short)
        await spawner.stop()
        assert below(short) == ([] if rung == "process" else ["views"])
        assert below(Path("/sys/fs/cgroup"), f"**/{group}") == []


async def test_the_next_start_of_any_program_removes_what_a_dead_one_left(
    short: Path, owners: Owners
) -> None:
    owners.kill(owners.start(short / "dead"))
    spawner = SPAWNERS["process"](short)
    await spawner.start()
    assert not (short / "dead").exists()
    await spawner.stop()
    assert below(short) == []
