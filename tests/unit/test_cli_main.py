from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import lifecycle
from runtime.data_dir import DataDirError
from tests.unit.cli_support import Shell

SERVER_MODULES = {"aiohttp", "docker", "obstore", "pymongo", "rich", "structlog"}


def test_a_short_command_does_not_load_the_server(tmp_path: Path) -> None:
    """It is called in loops of scripts; what it imports is what it costs."""
    code = (
        "import json, sys\n"
        "from runtime.cli.main import cli\n"
        "cli(['keys', '--json'], standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    Shell(tmp_path).announce("http://127.0.0.1:1")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "YUNHAN_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(json.loads(done.stdout.splitlines()[-1])) & SERVER_MODULES == set()


@pytest.mark.parametrize("grouped", [False, True])
def test_up_tells_in_a_sentence_why_it_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grouped: bool
) -> None:
    error: Exception = DataDirError("another program uses it")

    def fail(_settings: Any) -> int:
        raise ExceptionGroup("tasks", [error]) if grouped else error

    monkeypatch.setattr(lifecycle, "run_up", fail)
    result = Shell(tmp_path).run("up")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: another program uses it")


def test_up_does_not_hide_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_settings: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(lifecycle, "run_up", fail)
    assert isinstance(Shell(tmp_path).run("up").exception, ZeroDivisionError)


def test_up_ends_with_the_exit_code_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "run_up", lambda _settings: 0)
    assert Shell(tmp_path).run("up").exit_code == 0


def test_an_unknown_command_is_exit_code_2(tmp_path: Path) -> None:
    assert Shell(tmp_path).run("dance").exit_code == 2
