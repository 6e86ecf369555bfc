"""What the rung of bubblewrap promises beyond the contract: refusals, uids, nothing left behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sandbox.api import SandboxError, SandboxSpec
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.bubblewrap_process import BubblewrapProcess
from sandbox.memory_watcher import children_by_parent, descendants
from sandbox.node_sandbox import NodeSandbox
from sandbox.spawners.bubblewrap import BubblewrapSpawner, free_uids

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def bubblewrap() -> None:
    if shutil.which("bwrap") is None:
        assert not os.environ.get("CI"), "CI has to have bubblewrap"
        pytest.skip("bubblewrap is not installed (apt-get install bubblewrap)")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("b")


def make(folder: Path, bwrap: Path | None = None) -> BubblewrapSpawner:
    return BubblewrapSpawner(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        bwrap=bwrap,
    )


async def test_says_what_is_missing(folder: Path) -> None:
    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        await make(folder, folder / "bwrap").start()
    assert not (folder / "run").exists()


@pytest.fixture
def broken_bwrap(folder: Path) -> Path:
    bwrap = folder / "bwrap"
    bwrap.write_text(
        '#!/bin/sh\n[ "$1" = --help ] || { echo "No permissions to create new namespace"; exit 1; }\n'
    )
    bwrap.chmod(0o755)
    return bwrap


async def test_says_what_does_not_work(folder: Path, broken_bwrap: Path) -> None:
    with pytest.raises(SandboxError, match="user namespaces"):
        await make(folder, broken_bwrap).start()
    assert not (folder / "run").exists()


def inner_uids(sandbox: NodeSandbox) -> set[int]:
    """Of the processes below the outermost, as this machine sees them."""
    process = sandbox._handle
    assert isinstance(process, BubblewrapProcess)
    pids = descendants(process.pid, children_by_parent())[1:]
    return {Path(f"/proc/{pid}").stat().st_uid for pid in pids}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give uids")
async def test_root_gives_each_sandbox_a_uid_of_its_own(folder: Path) -> None:
    spawner = make(folder)
    await spawner.start()
    try:
        for name in ("one", "two"):
            await spawner.spawn(SandboxSpec(sandbox_id=name, node_major=24, memory_mb=128))
        uids = [inner_uids(sandbox) for sandbox in spawner._sandboxes.values()]
        assert 0 not in uids[0] | uids[1]
        assert not uids[0] & uids[1]
    finally:
        await spawner.stop()
    assert os.listdir(folder / "views") == []  # noqa: PTH208 - nothing to wait for


def test_uids_are_taken_from_those_that_there_are() -> None:
    assert free_uids("0 0 4294967295\n")[0] == 1_600_000_000
    assert free_uids("0 100000 65536\n") == range(61440, 65536)
    with pytest.raises(SandboxError, match="1 uids"):
        free_uids("0 1000 1\n")
