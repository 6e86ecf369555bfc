from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import lifecycle
from runtime.cli.connection import access_of, read_access
from runtime.data_dir import DataDir, DataDirError
from runtime.settings import Settings, SettingsError, load_settings
from runtime.wiring.listeners import StartError
from runtime.wiring.rungs import start_spawner
from sandbox.api import SandboxError
from tests.unit.cli_support import Shell

SERVER_MODULES = {"aiohttp", "docker", "obstore", "pydantic", "pymongo", "rich", "structlog"}


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

    def fail(_role: Any, _settings: Any) -> int:
        raise ExceptionGroup("tasks", [error]) if grouped else error

    monkeypatch.setattr(lifecycle, "run_program", fail)
    result = Shell(tmp_path).run("up")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: another program uses it")


@pytest.mark.parametrize(
    ("error", "exit_code", "next_step"),
    [
        (DataDirError("another program uses it; stop it"), 1, ""),
        (StartError("cannot listen"), 1, "YUNHAN_HTTP"),
        (SettingsError("YUNHAN_QUEUE_URL=amqp: is not available"), 2, ""),
        (SandboxError("there is no Node.js executable."), 1, "yunhan doctor"),
    ],
)
def test_up_names_the_doctor_only_where_it_helps(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    exit_code: int,
    next_step: str,
) -> None:
    def fail(_role: Any, _settings: Any) -> int:
        raise error

    monkeypatch.setattr(lifecycle, "run_program", fail)
    result = Shell(tmp_path).run("up")
    assert result.exit_code == exit_code
    assert next_step in result.stderr
    assert ("doctor" in result.stderr) == ("doctor" in next_step)


def test_what_the_start_misses_in_the_settings_is_a_wrong_setting(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    with pytest.raises(SettingsError, match="YUNHAN_MASTER_KEY_FILE"):
        data_dir.master_key(load_settings({"YUNHAN_ENV": "production"}))


async def test_no_walls_in_production_is_a_wrong_setting(tmp_path: Path) -> None:
    settings = load_settings({"YUNHAN_ENV": "production", "YUNHAN_SANDBOX": "process"})
    with pytest.raises(SettingsError, match="unset YUNHAN_SANDBOX"):
        await start_spawner(settings, run_dir=tmp_path / "run", views_dir=tmp_path / "views")


def test_up_does_not_hide_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_role: Any, _settings: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(lifecycle, "run_program", fail)
    assert isinstance(Shell(tmp_path).run("up").exception, ZeroDivisionError)


def test_up_ends_with_the_exit_code_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "run_program", lambda _role, _settings: 0)
    assert Shell(tmp_path).run("up").exit_code == 0


def test_an_unknown_command_is_exit_code_2(tmp_path: Path) -> None:
    assert Shell(tmp_path).run("dance").exit_code == 2


def test_a_misspelt_command_gets_a_suggestion(tmp_path: Path) -> None:
    result = Shell(tmp_path).run("deply")
    assert result.exit_code == 2
    assert "Did you mean 'deploy'?" in result.stderr


def test_the_quick_way_to_the_access_agrees_with_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("YUNHAN_")]:
        monkeypatch.delenv(name)
    assert read_access() == access_of(Settings())
    monkeypatch.setenv("YUNHAN_DATA_DIR", "/x")
    monkeypatch.setenv("YUNHAN_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("YUNHAN_ACCESS_KEY_SECRET", "secret")
    assert read_access() == access_of(load_settings())
    monkeypatch.setenv("YUNHAN_SLOTS", "3")
    assert read_access() == access_of(load_settings())
