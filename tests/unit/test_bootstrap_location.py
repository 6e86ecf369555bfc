from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import bootstrap_location
from sandbox.api import SandboxError
from sandbox.bootstrap_location import bootstrap_dir


def make(place: Path, *, packages: bool) -> Path:
    place.mkdir(parents=True)
    (place / "package.json").write_text("{}")
    if packages:
        (place / "node_modules").mkdir()
    return place


def test_the_clone_wins_over_packaged_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, packaged = tmp_path / "clone", tmp_path / "packaged"
    monkeypatch.setattr(bootstrap_location, "_PLACES", (clone, packaged))
    assert make(packaged, packages=True) == bootstrap_dir()
    assert make(clone, packages=True) == bootstrap_dir()


def test_missing_npm_packages_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make(tmp_path / "clone", packages=False)
    monkeypatch.setattr(bootstrap_location, "_PLACES", (place,))
    with pytest.raises(SandboxError, match="make env"):
        bootstrap_dir()


def test_a_missing_bootstrap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap_location, "_PLACES", (tmp_path,))
    with pytest.raises(SandboxError, match="Reinstall"):
        bootstrap_dir()


def test_this_clone_has_one() -> None:
    assert (bootstrap_dir() / "index.mjs").is_file()
