"""The watcher over a table of processes that a test writes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.memory_watcher import LookedAt, MemoryWatcher, Watched, children_by_parent, descendants

KIB = 1024
MIB = 1024 * KIB


class Processes:
    """A /proc of files."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        (proc / "self").mkdir()
        (proc / "meminfo").write_text("MemTotal: 1 kB\n")

    def add(
        self, pid: int, parent: int, *, mib: int = 0, shared_mib: int = 0, name: str = "node"
    ) -> None:
        folder = self.proc / str(pid)
        (folder / "root" / "tmp").mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} {pid} {pid} 0 -1 0\n")
        self.use(pid, mib=mib, shared_mib=shared_mib)

    def use(self, pid: int, *, mib: int, shared_mib: int = 0) -> None:
        (self.proc / str(pid) / "status").write_text(
            f"Name:\tnode\nVmRSS:\t99999999 kB\nRssAnon:\t{mib * KIB} kB\nRssFile:\t99999999 kB\n"
            f"RssShmem:\t{shared_mib * KIB} kB\nVmSwap:\t0 kB\n"
        )

    def vanish(self, pid: int) -> None:
        shutil.rmtree(self.proc / str(pid))


class Folder(NamedTuple):
    """What `statvfs` says of a file system in memory."""

    f_blocks: int = 1000
    f_bfree: int = 1000
    f_frsize: int = 4096
    f_files: int = 1000
    f_ffree: int = 1000


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    proc = tmp_path / "proc"
    proc.mkdir()
    return Processes(proc)


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> dict[str, Folder]:
    """What lies in the file systems of each process; empty ones unless a test says otherwise."""
    known: dict[str, Folder] = {}

    def statvfs(path: str) -> Folder:
        if not Path(path).parent.exists():
            raise FileNotFoundError(path)
        return known.get(Path(path).parts[-3], Folder())

    monkeypatch.setattr(os, "statvfs", statvfs)
    return known


@pytest.fixture
def killed() -> list[int]:
    return []


@pytest.fixture
def watcher(processes: Processes, folders: dict[str, Folder]) -> MemoryWatcher:
    return MemoryWatcher(proc=processes.proc, look_every_s=0)


def watched(pid: int, mib: int, killed: list[int]) -> Watched:
    return Watched(
        pid=pid, memory_bytes=mib * MIB, tmpfs=["/tmp"], on_exceeded=lambda: killed.append(pid)
    )


def look(watcher: MemoryWatcher, *sandboxes: Watched) -> list[int]:
    """Without the task."""
    watcher._watched = {each.pid: each for each in sandboxes}
    return watcher.look()


# --- the table of processes -------------------------------------------------------------------------


def test_processes_are_found_by_their_parents(processes: Processes) -> None:
    processes.add(10, 1)
    processes.add(11, 10)
    processes.add(12, 11)
    processes.add(20, 1)
    children = children_by_parent(processes.proc)
    assert descendants(10, children) == [10, 11, 12]
    assert descendants(20, children) == [20]


def test_a_name_that_looks_like_numbers_misleads_nobody(processes: Processes) -> None:
    processes.add(10, 1)
    processes.add(11, 10, name="x) S 999 (y")
    processes.add(12, 10, name=")) R 1 1 1\n")
    assert sorted(descendants(10, children_by_parent(processes.proc))) == [10, 11, 12]


def test_a_process_that_vanishes_while_it_is_looked_at_is_passed_over(processes: Processes) -> None:
    processes.add(10, 1)
    processes.add(11, 10)
    (processes.proc / "11" / "stat").unlink()  # its folder was still listed
    processes.add(12, 10)
    (processes.proc / "12" / "stat").write_text("")  # and this one was being torn down
    assert descendants(10, children_by_parent(processes.proc)) == [10]


def test_a_number_that_is_its_own_ancestor_ends_the_search() -> None:
    assert descendants(10, {10: [11], 11: [10, 12]}) == [10, 11, 12]


# --- one look ---------------------------------------------------------------------------------------


def test_growth_over_the_limit_is_seen(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1, mib=128)
    sandbox = watched(10, 128, killed)
    assert look(watcher, sandbox) == []
    processes.use(10, mib=129)
    assert look(watcher, sandbox) == [10]


def test_memory_of_children_and_shared_memory_count(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1, mib=50)
    processes.add(11, 10, mib=50)
    processes.add(12, 11, shared_mib=28)
    sandbox = watched(10, 128, killed)
    assert look(watcher, sandbox) == []
    processes.add(13, 12, mib=1)
    assert look(watcher, sandbox) == [10]


def test_neighbours_do_not_count(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1, mib=100)
    processes.add(20, 1, mib=300)
    assert look(watcher, watched(10, 128, killed), watched(20, 128, killed)) == [20]


def test_files_in_memory_count_and_so_do_empty_ones(
    processes: Processes, watcher: MemoryWatcher, folders: dict[str, Folder], killed: list[int]
) -> None:
    processes.add(10, 1, mib=1)
    processes.add(11, 10, mib=1)
    sandbox = watched(10, 3, killed)
    folders["11"] = Folder(f_bfree=1000 - 256)
    assert look(watcher, sandbox) == []
    folders["11"] = Folder(f_bfree=1000 - 257)
    assert look(watcher, sandbox) == [10]
    folders["11"] = Folder(f_files=2000, f_ffree=2000 - 1025)
    assert look(watcher, sandbox) == [10]


def test_the_outermost_process_is_not_asked_for_its_files(
    processes: Processes, watcher: MemoryWatcher, folders: dict[str, Folder], killed: list[int]
) -> None:
    processes.add(10, 1, mib=1)
    folders["10"] = Folder(f_bfree=0)  # it may still see the host's
    assert look(watcher, watched(10, 2, killed)) == []


def test_files_are_asked_of_another_process_when_the_youngest_vanishes(
    processes: Processes, watcher: MemoryWatcher, folders: dict[str, Folder], killed: list[int]
) -> None:
    for pid, parent in ((10, 1), (11, 10), (12, 11)):
        processes.add(pid, parent)
    shutil.rmtree(processes.proc / "12" / "root")
    folders["11"] = Folder(f_bfree=0)
    assert look(watcher, watched(10, 2, killed)) == [10]


def test_a_sandbox_that_vanished_uses_nothing(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1, mib=500)
    processes.add(11, 10, mib=500)
    (processes.proc / "11" / "status").unlink()
    processes.vanish(10)
    assert look(watcher, watched(10, 128, killed)) == []


def test_a_fork_bomb_is_one_sandbox_and_costs_one_look(
    processes: Processes,
    watcher: MemoryWatcher,
    killed: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processes.add(1000, 1)
    for number in range(1, 600):  # each the child of one before it
        processes.add(1000 + number, 1000 + number // 2, mib=1)
    listed: list[Path] = []
    listdir = os.listdir

    def counted(path: Path) -> list[str]:
        listed.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", counted)
    sandboxes = [watched(1000, 128, killed), *(watched(pid, 128, killed) for pid in range(5, 25))]
    assert look(watcher, *sandboxes) == [1000]
    assert listed == [processes.proc], "one table for all sandboxes"


# --- the task ---------------------------------------------------------------------------------------


async def ended(watcher: MemoryWatcher) -> None:
    assert watcher._task is not None
    await asyncio.wait({watcher._task})


async def test_one_beyond_its_limit_is_told_once_and_no_longer_watched(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1, mib=200)
    watcher.add(watched(10, 128, killed))
    await ended(watcher)
    assert killed == [10]
    assert not watcher._watched


async def test_looks_only_while_there_is_something_to_watch(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1)
    watcher.add(watched(10, 128, killed))
    watcher.discard(10)
    watcher.discard(10)
    await ended(watcher)
    processes.use(10, mib=200)
    watcher.add(watched(10, 128, killed))
    await ended(watcher)
    assert killed == [10]


async def test_one_that_is_removed_during_the_look_is_left_alone(
    processes: Processes,
    watcher: MemoryWatcher,
    killed: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processes.add(10, 1, mib=200)

    def look() -> list[int]:
        watcher.discard(10)
        return [10]

    monkeypatch.setattr(watcher, "look", look)
    watcher.add(watched(10, 128, killed))
    await ended(watcher)
    assert killed == []


async def test_without_a_watcher_no_sandbox_runs_on(
    processes: Processes,
    watcher: MemoryWatcher,
    killed: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> list[int]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(watcher, "look", fail)
    watcher.add(watched(10, 128, killed))
    watcher.add(watched(20, 128, killed))
    await ended(watcher)
    assert killed == [10, 20]


async def test_stops_at_once_and_twice(
    processes: Processes, folders: dict[str, Folder], killed: list[int]
) -> None:
    watcher = MemoryWatcher(proc=processes.proc, look_every_s=3600)
    await watcher.stop()
    watcher.add(watched(10, 128, killed))
    await watcher.stop()
    await watcher.stop()
    assert killed == []


# --- what the kernel keeps --------------------------------------------------------------------------


def give_sockets(processes: Processes, pid: int, *, sockets: int, tcp: int = 0) -> None:
    """A network namespace of its own."""
    folder = processes.proc / str(pid)
    for owner, name in ((processes.proc / "self", "net:[1]"), (folder, "net:[2]")):
        (owner / "ns").mkdir(exist_ok=True)
        (owner / "ns" / "net").unlink(missing_ok=True)
        (owner / "ns" / "net").symlink_to(name)
    (folder / "net").mkdir(exist_ok=True)
    (folder / "net" / "sockstat").write_text(
        f"sockets: used {sockets}\nTCP: inuse {tcp} orphan 0 tw 0 alloc 9 mem 0\nUDP: inuse 1 mem 0\n"
    )


@pytest.mark.parametrize(
    ("sockets", "tcp", "beyond"), [(32, 4, False), (900, 0, True), (32, 20, True)]
)
def test_sockets_count_for_what_they_may_hold(
    processes: Processes,
    watcher: MemoryWatcher,
    killed: list[int],
    sockets: int,
    tcp: int,
    *,
    beyond: bool,
) -> None:
    processes.add(10, 1)
    processes.add(11, 10)
    give_sockets(processes, 11, sockets=sockets, tcp=tcp)
    assert look(watcher, watched(10, 128, killed)) == ([10] if beyond else [])


def test_sockets_of_the_whole_machine_are_nobodys(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1)
    processes.add(11, 10)
    give_sockets(processes, 11, sockets=10**6)
    (processes.proc / "11" / "ns" / "net").unlink()
    (processes.proc / "11" / "ns" / "net").symlink_to("net:[1]")
    assert look(watcher, watched(10, 128, killed)) == []


def test_page_tables_and_open_files_count(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1)
    status = processes.proc / "10" / "status"
    sandbox = watched(10, 3, killed)
    assert look(watcher, sandbox) == []
    status.write_text(f"VmPTE:\t{4 * KIB} kB\n")
    assert look(watcher, sandbox) == [10]
    processes.use(10, mib=0)
    fd = processes.proc / "10" / "fd"
    fd.mkdir()
    for number in range(64 + 97):
        (fd / str(number)).touch()
    assert look(watcher, sandbox) == [10]


def test_what_was_seen_is_told(
    processes: Processes, watcher: MemoryWatcher, killed: list[int]
) -> None:
    processes.add(10, 1, mib=20)
    fields = " ".join(["0"] * 8)
    (processes.proc / "10" / "stat").write_text(f"10 (node) S 1 10 {fields} 3 4 2 1 0\n")
    seen = LookedAt()
    look(watcher, dataclasses.replace(watched(10, 128, killed), on_look=seen.saw))
    tick_ms = 1000 / os.sysconf("SC_CLK_TCK")
    assert (seen.peak_mb(None), seen.cpu_ms()) == (20.0, 10 * tick_ms)


def test_the_peak_begins_with_what_was_there_last() -> None:
    seen = LookedAt()
    assert seen.peak_mb(None) is None
    seen.saw(50 * MIB, 1.0)
    seen.saw(40 * MIB, 1.0)
    assert seen.peak_mb(None) == 50.0
    seen.begin()
    assert seen.peak_mb(None) == 40.0
    assert seen.peak_mb(60.0) == 60.0
