"""Which embedded document server is started."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest

from runtime.backends.embedded import child
from runtime.backends.embedded.child import VERSION, EmbeddedDocumentsError, find_server

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str) -> Path:
    """A Python of its own with that version of the server; its program, which is not there yet."""
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"SecantusDB": version}[name])
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder / child.PROGRAM


def program_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_the_version_is_the_one_that_is_installed_with_us() -> None:
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    assert extras["embedded"] == [f"SecantusDB=={VERSION}"]


def test_the_server_beside_this_python_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = program_at(installed(monkeypatch, tmp_path, VERSION))
    assert find_server() == [str(beside)]


def test_without_a_program_it_is_started_as_a_module_never_from_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, VERSION)
    elsewhere = program_at(tmp_path / "elsewhere" / child.PROGRAM)
    monkeypatch.setenv("PATH", str(elsewhere.parent))
    assert find_server() == [str(tmp_path / "python"), "-m", "secantus"]


@pytest.mark.parametrize("version", ["0.7.0b4", "0.7.0", "1.0"])
def test_another_version_is_refused(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program_at(installed(monkeypatch, tmp_path, version))
    with pytest.raises(EmbeddedDocumentsError) as caught:
        find_server()
    for told in (f"SecantusDB {version},", VERSION, "pip install 'yunhan[embedded]'"):
        assert told in caught.value.message


def test_what_is_only_on_the_path_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = program_at(tmp_path / "elsewhere" / child.PROGRAM)
    monkeypatch.setenv("PATH", str(elsewhere.parent))
    monkeypatch.setattr(child, "_DISTRIBUTION", "no-such-distribution")
    with pytest.raises(EmbeddedDocumentsError, match="is not installed for"):
        find_server()
