from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "find_python.sh"


def find(*folders: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*map(str, folders), "/usr/bin", "/bin"])
    return subprocess.run(
        ["bash", SCRIPT],
        env={"PATH": path, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_shim_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "a", "python3.13", "echo 'command not found' >&2; exit 127")
    good = program(tmp_path / "b", "python3.13", f'exec "{sys.executable}" "$@"')
    found = find(tmp_path / "a", tmp_path / "b")
    assert found.stdout.strip() == str(good)
    assert found.returncode == 0


def test_the_newest_name_wins(tmp_path: Path) -> None:
    run_real = f'exec "{sys.executable}" "$@"'
    program(tmp_path / "a", "python3", run_real)
    newest = program(tmp_path / "b", "python3.13", run_real)
    assert find(tmp_path / "a", tmp_path / "b").stdout.strip() == str(newest)


def test_another_version_is_refused_with_what_to_install(tmp_path: Path) -> None:
    old = program(tmp_path, "old", "echo 'is cpython 3.10.1'; exit 1")
    found = find(PYTHON=str(old))
    assert found.returncode == 1
    assert found.stdout == ""
    assert "3.11, 3.12 or 3.13" in found.stderr
    assert "apt-get install python3 python3-venv" in found.stderr
    assert f"{old} is cpython 3.10.1" in found.stderr


def test_a_named_interpreter_is_taken(tmp_path: Path) -> None:
    mine = program(tmp_path, "mine", f'exec "{sys.executable}" "$@"')
    assert find(PYTHON=str(mine)).stdout.strip() == str(mine)
