"""Against folders that look like control groups; the real ones are under the spawner's contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.cgroups import CgroupFoldersV1, CgroupFoldersV2, GroupLimits, open_cgroups

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
    assert not made.out_of_memory
    (folder / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert made.out_of_memory


@pytest.mark.parametrize("delegated", ["", "cpu pids"])
def test_none_where_nothing_is_delegated(tmp_path: Path, delegated: str) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    (tmp_path / "cgroup.controllers").write_text(delegated)
    assert open_cgroups(tmp_path / "run", mount=tmp_path, own=own) is None


def test_none_without_any_hierarchy(tmp_path: Path) -> None:
    assert open_cgroups(tmp_path / "run", mount=tmp_path / "missing") is None
