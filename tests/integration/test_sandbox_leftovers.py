"""What a sandbox may leave behind, and who removes it: folders, processes in them, groups."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from sandbox.folders import (
    kill_processes_in,
    remove_sandbox_folder,
    sandbox_folder,
    sweep_sandboxes,
)
from sandbox.orphan_guard import OrphanGuard
from tests.harness.sleepers import Sleepers

pytestmark = pytest.mark.integration


# --- folders ------------------------------------------------------------------------------------


def test_removing_a_folder_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = sandbox_folder(tmp_path, "one")
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "link").symlink_to(outside)
    remove_sandbox_folder(folder)
    assert not folder.exists()
    assert (outside / "kept").exists()
    remove_sandbox_folder(folder)


def test_rights_that_were_taken_are_given_back_but_not_through_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o755)
    folder = sandbox_folder(tmp_path, "one")
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "link").symlink_to(outside)
    for path in (folder / "a" / "b", folder / "a"):
        path.chmod(0)
    rmtree = shutil.rmtree
    modes: list[int] = []

    def refuse_without_rights(path: Path, **options: Any) -> None:
        """What rmtree does for everybody but root."""
        if not os.stat(path / "a").st_mode & stat.S_IRWXU:  # noqa: PTH116 - plain
            raise PermissionError(13, "Permission denied")
        modes.extend(stat.S_IMODE((path / "a" / name).stat().st_mode) for name in ("", "b"))
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", refuse_without_rights)
    remove_sandbox_folder(folder)
    assert modes == [0o700, 0o700]
    assert not folder.exists()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def test_what_cannot_be_removed_does_not_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **options: Any) -> None:
        raise OSError(16, "Device or resource busy")

    folder = sandbox_folder(tmp_path, "one")
    folder.mkdir()
    monkeypatch.setattr(shutil, "rmtree", refuse)
    remove_sandbox_folder(folder)
    assert folder.exists()


def test_only_processes_inside_are_killed(tmp_path: Path, sleepers: Sleepers) -> None:
    folder = tmp_path / "sb-1"
    for name in ("sb-1/deep", "sb-1/deleted", "sb-10"):
        (tmp_path / name).mkdir(parents=True)
    inside = [
        sleepers.start(folder),
        sleepers.start(folder / "deep"),
        sleepers.start(folder / "deleted"),
    ]
    (folder / "deleted").rmdir()
    outside = [sleepers.start(tmp_path), sleepers.start(tmp_path / "sb-10")]
    assert kill_processes_in(folder) == 3
    assert [process.wait() for process in inside] == [-signal.SIGKILL] * 3
    assert [process.poll() for process in outside] == [None, None]


def test_a_process_in_the_folder_itself_is_found_after_it_was_deleted(
    tmp_path: Path, sleepers: Sleepers
) -> None:
    folder = tmp_path / "sb-1"
    folder.mkdir()
    process = sleepers.start(folder)
    folder.rmdir()
    assert kill_processes_in(folder) == 1
    process.wait()


def test_the_caller_is_never_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert kill_processes_in(tmp_path) == 0


def test_a_sweep_counts_sandboxes_and_keeps_what_is_nobodys(tmp_path: Path) -> None:
    for name in ("sb-1", "sb-2", "other"):
        (tmp_path / name).mkdir()
    assert sweep_sandboxes(tmp_path) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]


# --- guard ----------------------------------------------------------------------------------------


def test_the_guard_kills_the_groups_it_still_knows_and_no_others(sleepers: Sleepers) -> None:
    known, discarded, never = (sleepers.start() for _ in range(3))
    guard = OrphanGuard()
    for process in (discarded, known):
        guard.add(process.pid)
    guard.discard(discarded.pid)
    guard.discard(never.pid)
    guard.stop()
    assert known.wait() == -signal.SIGKILL
    assert [discarded.poll(), never.poll()] == [None, None]
    guard.stop()


def test_a_guard_that_never_had_a_group_starts_no_process() -> None:
    guard = OrphanGuard()
    assert guard._process is None
    guard.stop()


def test_the_guard_has_its_own_session(sleepers: Sleepers) -> None:
    guard = OrphanGuard()
    guard.add(sleepers.start().pid)
    assert guard._process is not None
    assert os.getsid(guard._process.pid) == guard._process.pid
    guard.stop()
