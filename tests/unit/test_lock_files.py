"""The locks: hash-pinned, complete, and usable with any registry."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIP_LOCKS = ("requirements.lock", "requirements-dev.lock")
NPM_FOLDERS = ("node_bootstrap", "tests/e2e/sdk", "tests/egress_clients")
NO_ADDRESS = re.compile(r"https?:|index-url|find-links|\bfile:| @ ", re.IGNORECASE)


def pins(lock: str) -> dict[str, list[str]]:
    """Name -> pinned versions (several when they differ by Python version)."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==(\S+)", line)
        if match:
            found.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return found


def npm_lock(folder: str) -> dict[str, Any]:
    lock: dict[str, Any] = json.loads((ROOT / folder / "package-lock.json").read_text())
    return lock


@pytest.mark.parametrize("lock", PIP_LOCKS)
def test_pip_locks_name_no_address(lock: str) -> None:
    assert NO_ADDRESS.search((ROOT / lock).read_text()) is None


@pytest.mark.parametrize("lock", PIP_LOCKS)
def test_every_pin_has_hashes(lock: str) -> None:
    requirements = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    assert len(requirements) == sum(len(versions) for versions in pins(lock).values())
    for requirement in requirements:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", requirement), requirement[:60]


def project_requirements() -> Iterator[tuple[str, Requirement]]:
    """Every requirement of pyproject.toml, with the smallest lock that has to have it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["embedded"],
        *project["dependency-groups"]["build"],
    ]
    for text in runtime:
        yield "requirements.lock", Requirement(text)
    for text in project["dependency-groups"]["dev"]:
        if isinstance(text, str):
            yield "requirements-dev.lock", Requirement(text)


@pytest.mark.parametrize(("lock", "requirement"), list(project_requirements()), ids=str)
def test_locks_fit_pyproject(lock: str, requirement: Requirement) -> None:
    versions = pins(lock).get(canonicalize_name(requirement.name))
    assert versions, f"{requirement.name} is not in {lock}: run `make lock`"
    for version in versions:
        assert requirement.specifier.contains(version, prereleases=True), "run `make lock`"


def test_the_development_lock_contains_the_other_one() -> None:
    smaller, larger = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: larger.get(name) for name in smaller} == smaller


@pytest.mark.parametrize("folder", NPM_FOLDERS)
def test_npm_locks_name_no_address(folder: str) -> None:
    """`funding` and `deprecated` are texts for people; npm fetches nothing from them."""
    for name, package in npm_lock(folder)["packages"].items():
        told = {key: package[key] for key in package if key not in {"funding", "deprecated"}}
        assert "resolved" not in told, name
        assert re.search(r"https?://", json.dumps(told)) is None, name


@pytest.mark.parametrize("folder", NPM_FOLDERS)
def test_every_npm_package_has_a_hash_and_no_install_script_is_wanted(folder: str) -> None:
    for name, package in npm_lock(folder)["packages"].items():
        if name:
            assert package["integrity"].startswith("sha512-"), name
    assert "ignore-scripts" in (ROOT / "scripts" / "npm_ci.py").read_text()


@pytest.mark.parametrize("folder", NPM_FOLDERS)
def test_npm_locks_fit_their_package_json(folder: str) -> None:
    wanted = json.loads((ROOT / folder / "package.json").read_text())["dependencies"]
    assert npm_lock(folder)["packages"][""]["dependencies"] == wanted
