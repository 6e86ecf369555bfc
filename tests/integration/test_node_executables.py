"""Which Node.js executables are found, and what a wrong one is told to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.api import SandboxError
from sandbox.node_runtimes import find_node_runtimes

pytestmark = pytest.mark.integration


def write_script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


async def test_the_installed_package_is_found() -> None:
    runtimes = await find_node_runtimes()
    assert runtimes[24].version.startswith("v24.")
    assert list(runtimes) == sorted(runtimes)


async def test_a_named_executable_is_added_and_wins(tmp_path: Path) -> None:
    old = write_script(tmp_path / "old", "#!/bin/sh\necho v16.1.2\n")
    own = write_script(tmp_path / "own", "#!/bin/sh\necho v24.0.1\n")
    runtimes = await find_node_runtimes(f"16={old},24={own}")
    assert (runtimes[16].version, runtimes[16].path) == ("v16.1.2", old)
    assert runtimes[24].path == own
    assert next(iter(runtimes)) == 16


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "does not start"),
        ("#!/bin/sh\necho v18.0.0\n", "is Node.js v18.0.0, not 20"),
        ("#!/bin/sh\necho Python 3.11\n", "is not Node.js"),
        ("#!/bin/sh\nexit 1\n", "is not Node.js"),
    ],
    ids=["missing", "another version", "another program", "failing"],
)
async def test_a_named_executable_that_is_wrong_is_refused(
    tmp_path: Path, script: str | None, reason: str
) -> None:
    if script is not None:
        write_script(tmp_path / "node", script)
    with pytest.raises(SandboxError, match=reason):
        await find_node_runtimes(f"20={tmp_path / 'node'}")
