"""The process of a container is known by its control group, whatever that is named."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from sandbox import host_process
from sandbox.host_process import HostProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are seen on Linux")


@pytest.mark.parametrize(("part", "found"), [("abc", True), ("abd", False), ("", False)])
async def test_a_group_may_have_any_bytes_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, found: bool
) -> None:
    monkeypatch.setattr(host_process, "_PROC", tmp_path)
    process = await asyncio.create_subprocess_exec("/bin/sleep", "1000")
    try:
        (tmp_path / str(process.pid)).mkdir()
        (tmp_path / str(process.pid) / "cgroup").write_bytes(b"0::/\xff/abc\n")
        seen = HostProcess.find(process.pid, part, lambda: None)
        assert (seen is not None) is found
        if seen is not None:
            seen.close()
    finally:
        process.kill()
        await process.wait()
