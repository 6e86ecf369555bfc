"""The wheel is complete: an installation needs neither the clone nor npm."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in it."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", out, ROOT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [path] = out.glob("yunhan-*-py3-none-any.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("package", ["runtime", "sandbox"])
def test_it_has_every_module(wheel: set[str], package: str) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
    assert modules <= wheel
    assert f"{package}/py.typed" in wheel


def test_it_has_the_node_side_with_its_packages(wheel: set[str]) -> None:
    source = ROOT / "node_bootstrap"
    wanted = [source / "index.mjs", source / "package.json", *source.glob("src/**/*.mjs")]
    wanted += source.glob("node_modules/**/package.json")
    names = {f"sandbox/node_bootstrap/{path.relative_to(source)}" for path in wanted}
    assert len(names) > 50
    assert names <= wheel


def test_it_has_nothing_else(wheel: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"runtime", "sandbox"}
    assert not any(name.startswith("sandbox/node_bootstrap/test/") for name in wheel)
