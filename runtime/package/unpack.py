"""Unpacks a code package into a read-only tree."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from runtime.package.check import (
    Package,
    PackageCode,
    PackageEntry,
    PackageError,
    PackageFacts,
    PackageLimits,
    open_package,
)
from runtime.package.names import shown

_FILE_MODE = 0o444
_EXECUTABLE_MODE = 0o555
_FOLDER_MODE = 0o555


def unpack_package(
    path: Path, target: Path, *, function: str, limits: PackageLimits
) -> PackageFacts:
    """Unpack so that `target/index.js` (or index.mjs) is the entry point.

    Everything that `check_package` checks is checked again: that check may be old, or of other
    bytes. The tree grows in a folder beside `target`, which must not exist, and is renamed when it
    is whole; a crash leaves only a folder `.unpack-*` there. Files become 0444, or 0555 when they were
    executable, folders 0555; no other bit of a package's modes is used. Nothing is synced to the
    disk. Blocking. Raises PackageError, or OSError when the disk fails or is full.
    """
    draft = Path(tempfile.mkdtemp(prefix=".unpack-", dir=target.parent))
    try:
        with open_package(path, function=function, limits=limits) as package:
            _write_tree(package, draft)
            facts = package.facts
        draft.rename(target)
    except BaseException:
        remove_tree(draft)
        raise
    return facts


def remove_tree(folder: Path) -> None:
    """Delete an unpacked tree, read-only folders included. Idempotent. Raises OSError."""
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():
            raise


def _write_tree(package: Package, draft: Path) -> None:
    folders: set[Path] = {draft}
    for entry in package.entries:
        path = draft / entry.path
        try:
            _make_folders(path if entry.folder else path.parent, folders)
            if not entry.folder:
                _write_file(package, entry, path)
        except (FileExistsError, NotADirectoryError):
            # The paths are distinct; a file system that ignores case may see it differently.
            raise PackageError(
                PackageCode.DUPLICATE,
                f"entry {shown(entry.path)} collides with another one on this file system;"
                " give them names that differ in more than case",
            ) from None
    for folder in folders:
        folder.chmod(_FOLDER_MODE)


def _make_folders(folder: Path, made: set[Path]) -> None:
    missing = []
    while folder not in made:
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700)
        made.add(each)


def _write_file(package: Package, entry: PackageEntry, path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in package.read(entry):
            file.write(chunk)
        os.fchmod(descriptor, _EXECUTABLE_MODE if entry.executable else _FILE_MODE)
