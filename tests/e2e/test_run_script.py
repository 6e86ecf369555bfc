"""`make run` without make: from an empty data directory to a result, and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.data_dir import DataDir
from tests.harness.program import free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.parent.name for path in (ROOT / "examples").glob("*/index.js")}

pytestmark = pytest.mark.e2e


def start(data_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("YUNHAN_")}
    return subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "run.py", *arguments],
        cwd=data_dir.parent,
        env={
            **kept,
            "PYTHONUNBUFFERED": "1",
            "YUNHAN_DATA_DIR": str(data_dir),
            "YUNHAN_HTTP": f"127.0.0.1:{free_port()}",
            "YUNHAN_HTTPS": f"127.0.0.1:{free_port()}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_once(data_dir: Path) -> str:
    """What it printed."""
    process = start(data_dir, "--once")
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err + out
    return out


def test_the_first_run_deploys_everything_and_the_second_nothing(tmp_path: Path) -> None:
    first = run_once(tmp_path / "data")
    assert {name for name in EXAMPLES if f"==> deploying examples/{name}\n" in first} == EXAMPLES
    assert 'hello → {"text":"hello world"}' in first
    assert "info  greeting world" in first
    assert "client secret  " in first
    assert DataDir(tmp_path / "data").read_running() is None, "the program has ended"

    second = run_once(tmp_path / "data")
    assert "deploying" not in second
    assert 'hello → {"text":"hello world"}' in second
    assert data_of(second) == data_of(first), "the same space with the same keys"


def data_of(printed: str) -> set[str]:
    return {line for line in printed.splitlines() if line.startswith(("space id", "client secret"))}


def test_it_serves_until_ctrl_c(tmp_path: Path) -> None:
    process = start(tmp_path / "data")
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "serving until Ctrl-C" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=50)
    assert process.returncode == 0
    assert '"level":"info"' not in "".join(printed) + rest + err, "the screen stays quiet"
    assert DataDir(tmp_path / "data").read_running() is None


def test_a_program_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, no folder")
    process = start(tmp_path / "data", "--once")
    out, err = process.communicate(timeout=50)
    assert process.returncode == 1, out
    assert "yunhan up ended with exit code 1" in err
