"""Unpacked code packages on a worker's disk (blocking; `runtime.code_cache` decides what is kept).

    <folder>/<digest>-<function>-<random>/       the tree's home
        <function>/      the unpacked package, read-only
        tree.json        written last: a home without it is a leftover of a crash

Homes are never used twice, so that removing one cannot meet the making of the next. Nothing is
synced to the disk: after a crash of the machine `is_whole` finds what was lost.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from runtime.errors import UnavailableError
from runtime.package.check import PackageLimits
from runtime.package.unpack import remove_tree, unpack_package

_DIGEST = r"[0-9a-f]{64}"
_FUNCTION = r"[A-Za-z_][A-Za-z0-9_-]{0,127}"
_HOME = re.compile(rf"({_DIGEST})-({_FUNCTION})-[0-9a-f]{{8}}")
_MARKER = "tree.json"


class TreeKey(NamedTuple):
    """A package (SHA-256 of its zip, hex) as one function sees it.

    Where index.js is in a package may depend on the function's name; the same package under two names
    is rare and costs two trees."""

    digest: str
    function: str

    def check(self) -> None:
        """Raises ValueError when this could not be a part of a folder's name."""
        if not re.fullmatch(_DIGEST, self.digest) or not re.fullmatch(_FUNCTION, self.function):
            raise ValueError(f"no digest and function: {self.digest!r}, {self.function!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTree:
    """An unpacked package."""

    key: TreeKey
    home: Path
    files: int
    size_bytes: int

    @property
    def code_dir(self) -> Path:
        """The folder with index.js at its top, named like the function."""
        return self.home / self.key.function

    def is_whole(self) -> bool:
        """Whether the files' number and bytes are still what they were when the tree was made."""
        return _measure(self.code_dir) == (self.files, self.size_bytes)


def take_over_trees(folder: Path) -> list[CodeTree]:
    """The trees of earlier starts, oldest first. Deletes leftovers and doubles. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    trees: dict[TreeKey, CodeTree] = {}
    homes = [path for path in folder.iterdir() if _HOME.fullmatch(path.name)]
    for home in sorted(homes, key=lambda path: path.stat().st_mtime):
        tree = _read_marker(home)
        if tree is None:
            remove_home(home)
            continue
        if (older := trees.pop(tree.key, None)) is not None:
            remove_home(older.home)
        trees[tree.key] = tree
    return list(trees.values())


def new_home(folder: Path, key: TreeKey) -> Path:
    """Where a new tree may be made; nothing is there yet."""
    return folder / f"{key.digest}-{key.function}-{secrets.token_hex(4)}"


def make_tree(home: Path, key: TreeKey, packed: Path, limits: PackageLimits) -> CodeTree:
    """Unpack the zip `packed` into its home and delete it.

    Raises UnavailableError when the zip's digest is another, PackageError, OSError."""
    with packed.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != key.digest:
        raise UnavailableError(
            f"the file store gave other bytes (SHA-256 {found}); deploy the package again"
        )
    unpack_package(packed, home / key.function, function=key.function, limits=limits)
    packed.unlink()
    files, size_bytes = _measure(home / key.function)
    (home / _MARKER).write_bytes(orjson.dumps({"files": files, "bytes": size_bytes}))
    return CodeTree(key=key, home=home, files=files, size_bytes=size_bytes)


def remove_home(home: Path) -> None:
    """Delete a tree and its home. Idempotent. Raises OSError."""
    (home / _MARKER).unlink(missing_ok=True)  # first: a crash from here on leaves a leftover
    remove_tree(home)


def _measure(code_dir: Path) -> tuple[int, int]:
    """Number and bytes of the files."""
    sizes = [
        Path(folder, name).lstat().st_size
        for folder, _, names in os.walk(code_dir)
        for name in names
    ]
    return len(sizes), sum(sizes)


def _read_marker(home: Path) -> CodeTree | None:
    match = _HOME.fullmatch(home.name)
    assert match is not None
    try:
        marker = orjson.loads((home / _MARKER).read_bytes())
        files, size_bytes = int(marker["files"]), int(marker["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return CodeTree(key=TreeKey(match[1], match[2]), home=home, files=files, size_bytes=size_bytes)
