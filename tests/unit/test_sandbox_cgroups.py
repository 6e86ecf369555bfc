"""Against folders that look like control groups; the real ones are under the spawner's contract."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.cgroup_meter import GroupMeter, MeterFiles
from sandbox.cgroups import (
    Cgroup,
    CgroupFoldersV1,
    CgroupFoldersV2,
    GroupLimits,
    find_meter,
    open_cgroups,
)

LIMITS = GroupLimits(memory_bytes=128 * 1024 * 1024, pids=99, cpus=0.5)


def test_version_1_has_one_folder_per_controller(tmp_path: Path) -> None:
    for controller in ("memory", "pids", "cpu"):
        (tmp_path / controller).mkdir()
    folders = open_cgroups(tmp_path / "run", mount=tmp_path)
    assert isinstance(folders, CgroupFoldersV1)
    memory, pids, cpu = folders.make("one", LIMITS).folders
    assert (memory / "memory.limit_in_bytes").read_text() == "134217728\n"
    assert (pids / "pids.max").read_text() == "99\n"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "50000\n"


def test_version_2_moves_the_worker_aside_and_hands_controllers_on(tmp_path: Path) -> None:
    own, group = tmp_path / "own", tmp_path / "service"
    own.write_text("0::/service\n")
    group.mkdir()
    (tmp_path / "cgroup.controllers").write_text("")
    (group / "cgroup.controllers").write_text("cpu memory pids io\n")
    folders = open_cgroups(tmp_path / "run", mount=tmp_path, own=own)
    assert isinstance(folders, CgroupFoldersV2)
    assert (group / "yunhan-worker" / "cgroup.procs").read_text() == "0\n"
    made = folders.make("one", LIMITS)
    (folder,) = made.folders
    assert (folder / "memory.max").read_text() == "134217728\n"
    assert (folder / "memory.oom.group").read_text() == "1\n"
    made.remove()


@pytest.mark.parametrize("delegated", ["", "cpu pids"])
def test_none_where_nothing_is_delegated(tmp_path: Path, delegated: str) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    (tmp_path / "cgroup.controllers").write_text(delegated)
    assert open_cgroups(tmp_path / "run", mount=tmp_path, own=own) is None


@pytest.mark.parametrize("together", [True, False])
def test_version_1_counts_processor_time_wherever_it_is_mounted(
    tmp_path: Path, *, together: bool
) -> None:
    for controller in ("memory", "pids", "cpu", "cpuacct"):
        (tmp_path / controller).mkdir()
    if together:  # the usual way: two names of one folder
        (tmp_path / "cpu" / "cpuacct.usage").touch()
    folders = open_cgroups(tmp_path / "run", mount=tmp_path)
    assert folders is not None
    made = [folder.parent.parent.name for folder in folders.make("one", LIMITS).folders]
    assert made == ["memory", "pids", "cpu", *([] if together else ["cpuacct"])]


def test_joins_by_the_way_without_a_lock_where_there_is_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "tasks").touch()
    files = Cgroup([tmp_path / "one", tmp_path / "two"]).procs
    assert files == [str(tmp_path / "one" / "tasks"), str(tmp_path / "two" / "cgroup.procs")]


def test_none_without_any_hierarchy(tmp_path: Path) -> None:
    assert open_cgroups(tmp_path / "run", mount=tmp_path / "missing") is None


# --- figures ----------------------------------------------------------------------------------------

MIB = 1024 * 1024


def figures(folder: Path, **texts: str) -> MeterFiles:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return MeterFiles(
        cpu=folder / "cpu",
        cpu_per_ms=1e3,
        peak=folder / "peak",
        current=folder / "current",
        killed=folder / "killed",
    )


@pytest.fixture
def no_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """As version 2 before Linux 6.12."""

    def refuse(*_: object) -> int:
        raise OSError("not writable")

    monkeypatch.setattr("sandbox.cgroup_meter.os.pwrite", refuse)


def test_reads_both_versions_of_the_files(tmp_path: Path) -> None:
    meter = GroupMeter(figures(tmp_path, cpu="usage_usec 1500\nuser_usec 1\n"))
    assert meter.cpu_ms() == 1.5
    meter.close()
    meter = GroupMeter(figures(tmp_path, cpu="2500\n"))
    assert meter.cpu_ms() == 2.5
    meter.close()


def test_only_kills_since_the_begin_count(tmp_path: Path) -> None:
    meter = GroupMeter(figures(tmp_path, killed="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"))
    assert meter.out_of_memory()
    meter.begin()
    assert not meter.out_of_memory()
    figures(tmp_path, killed="low 0\noom 3\noom_kill 3\noom_group_kill 0\n")
    assert meter.out_of_memory()
    meter.close()


def test_the_peak_starts_anew_where_the_kernel_lets_it(tmp_path: Path) -> None:
    meter = GroupMeter(figures(tmp_path, peak=f"{90 * MIB}\n", current="1\n"))
    assert (tmp_path / "peak").read_text()[0] == "0"
    figures(tmp_path, peak=f"{50 * MIB}\n")
    assert meter.peak_mb(None) == 50.0
    meter.close()


@pytest.mark.usefixtures("no_restart")
def test_else_only_a_new_peak_is_one(tmp_path: Path) -> None:
    meter = GroupMeter(figures(tmp_path, peak=f"{90 * MIB}\n", current=f"{40 * MIB}\n"))
    meter.begin()
    figures(tmp_path, current=f"{30 * MIB}\n")
    assert meter.peak_mb(1.0) == 40.0
    figures(tmp_path, peak=f"{95 * MIB}\n")
    assert meter.peak_mb(1.0) == 95.0
    meter.close()


def test_what_is_not_there_or_gone_is_not_known(tmp_path: Path) -> None:
    meter = GroupMeter(figures(tmp_path))
    for _ in range(2):
        meter.begin()
        known = (meter.cpu_ms(), meter.peak_mb(7.0), meter.out_of_memory())
        assert known == (None, 7.0, False)
        meter.close()


@pytest.mark.parametrize("version", [1, 2])
def test_finds_the_figures_of_somebody_elses_group(tmp_path: Path, version: int) -> None:
    proc, mount = tmp_path / "proc", tmp_path / "mount"
    (proc / "7").mkdir(parents=True)
    mount.mkdir()
    assert find_meter(7, mount=mount, proc=proc) is None
    if version == 1:
        (proc / "7" / "cgroup").write_text("3:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n0::/\n")
        memory, cpu = mount / "memory/docker/x", mount / "cpuacct/docker/x"
        files = {memory / "memory.usage_in_bytes": "1\n", cpu / "cpuacct.usage": "5000000\n"}
    else:
        (proc / "7" / "cgroup").write_text("0::/docker/x\n")
        (mount / "cgroup.controllers").write_text("memory cpu")
        memory = mount / "docker/x"
        files = {memory / "memory.current": "1\n", memory / "cpu.stat": "usage_usec 5000\n"}
    assert find_meter(7, mount=mount, proc=proc) is None
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    meter = find_meter(7, mount=mount, proc=proc)
    assert meter is not None
    assert meter.cpu_ms() == 5.0
    meter.close()


def test_what_was_kept_is_known_when_the_group_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = GroupMeter(figures(tmp_path, cpu="2500\n", killed="oom_kill 1\n"))
    meter.keep()

    def gone(*_: object) -> bytes:
        raise OSError("No such device")

    with monkeypatch.context() as patch:
        patch.setattr("sandbox.cgroup_meter.os.pread", gone)
        assert (meter.cpu_ms(), meter.out_of_memory()) == (2.5, True)
    meter.close()
    assert meter.cpu_ms() is None


def test_a_group_may_have_any_bytes_for_a_name(tmp_path: Path) -> None:
    proc, mount = tmp_path / "proc", tmp_path / "mount"
    (proc / "7").mkdir(parents=True)
    (proc / "7" / "cgroup").write_bytes(b"0::/a\xff\x0b\x85b\n")
    group = mount / os.fsdecode(b"a\xff\x0b\x85b")
    group.mkdir(parents=True)
    (mount / "cgroup.controllers").write_text("memory cpu")
    (group / "memory.current").write_text("1\n")
    (group / "cpu.stat").write_text("usage_usec 5000\n")
    meter = find_meter(7, mount=mount, proc=proc)
    assert meter is not None
    assert meter.cpu_ms() == 5.0
    meter.close()
