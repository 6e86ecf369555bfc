"""Which rung a worker gets as an ordinary user, and as a root that has not all rights."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import SandboxError
from sandbox.landlock_rules import landlock_abi
from tests.harness.lacking import lacks
from tests.harness.rights import (
    DOCKER_CAPABILITIES,
    NOBODY,
    as_nobody,
    as_root_with,
    folder_of_nobody,
    needs_root,
    run,
)

pytestmark = pytest.mark.integration

DOCTOR = [sys.executable, "-m", "runtime.cli.main", "doctor", "--json"]


@pytest.fixture(autouse=True)
def machine() -> None:
    needs_root()
    missing = None if shutil.which("bwrap") else "bubblewrap is not installed"
    try:
        landlock_abi()
    except SandboxError as error:
        missing = str(error)
    if missing is not None:
        lacks(missing)


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_of_nobody() as folder:
        yield folder


def examined(command: Sequence[str], folder: Path, rung: str) -> dict[str, Any]:
    """What `yunhan doctor`, started so, says of machine and sandbox."""
    done = run(command, folder, YUNHAN_SANDBOX=rung, YUNHAN_HTTPS="", YUNHAN_DATA_DIR="data")
    assert done.stdout, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["findings"]}


@pytest.mark.parametrize("rung", ["auto", "bubblewrap"])
def test_bubblewrap_needs_no_rights(folder: Path, rung: str) -> None:
    found = examined(as_nobody(folder, DOCTOR), folder, rung)
    assert f"uid {NOBODY}, no rights of root" in found["machine"]["text"]
    assert found["sandbox"]["state"] == "ok", found["sandbox"]
    assert found["sandbox"]["text"].startswith("bubblewrap")
    assert "attempts to get out of one failed" in found["sandbox"]["text"]


def test_landlock_is_refused_to_an_ordinary_user_with_advice(folder: Path) -> None:
    found = examined(as_nobody(folder, DOCTOR), folder, "landlock")["sandbox"]
    assert found["state"] == "problem"
    assert "only root can do" in found["text"]
    assert "bubblewrap" in found["text"]


def test_an_ordinary_user_is_warned_of_the_rung_without_walls(folder: Path) -> None:
    found = examined(as_nobody(folder, DOCTOR), folder, "process")["sandbox"]
    assert found["state"] == "warning"
    assert "see your files and network" in found["text"]


@pytest.mark.parametrize("rung", ["auto", "landlock"])
def test_root_without_the_right_to_mount_gets_landlock(folder: Path, rung: str) -> None:
    found = examined(as_root_with(DOCKER_CAPABILITIES, DOCTOR), folder, rung)
    assert "uid 0, without CAP_SYS_ADMIN" in found["machine"]["text"]
    assert found["sandbox"]["state"] == "ok", found["sandbox"]
    assert found["sandbox"]["text"].startswith("landlock")
    assert "attempts to get out of one failed" in found["sandbox"]["text"]
    if rung == "auto":
        assert any("has not CAP_SYS_ADMIN" in line for line in found["sandbox"]["details"])


def test_root_without_the_right_to_mount_is_told_why_bubblewrap_refuses(folder: Path) -> None:
    found = examined(as_root_with(DOCKER_CAPABILITIES, DOCTOR), folder, "bubblewrap")["sandbox"]
    assert found["state"] == "problem"
    assert "has not CAP_SYS_ADMIN" in found["text"]
    assert "ordinary user" in found["text"]


def test_root_without_rights_falls_to_no_isolation_aloud(folder: Path) -> None:
    few = [name for name in DOCKER_CAPABILITIES if name != "setfcap"]
    found = examined(as_root_with(few, DOCTOR), folder, "auto")["sandbox"]
    assert found["state"] == "warning"
    assert found["text"].startswith("process")
    refused = [line for line in found["details"] if "not here:" in line]
    assert ["CAP_SYS_ADMIN" in line for line in refused] == [True, True]


@pytest.mark.parametrize("who", ["an ordinary user", "root without the right to mount"])
def test_nothing_stays(folder: Path, who: str) -> None:
    command = (
        as_nobody(folder, DOCTOR)
        if who == "an ordinary user"
        else as_root_with(DOCKER_CAPABILITIES, DOCTOR)
    )
    assert examined(command, folder, "auto")["sandbox"]["state"] == "ok"
    assert {entry.name for entry in folder.iterdir()} <= {"way"}
