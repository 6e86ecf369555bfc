"""Checks an uploaded code package before it becomes a deployment (spec: functions (b), Package)."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runtime.package.data import read_entry
from runtime.package.directory import ZipEntry, read_directory
from runtime.package.errors import PackageCode, PackageError
from runtime.package.names import checked_path, is_left_out, shown

__all__ = ["PackageCode", "PackageError", "PackageFacts", "PackageLimits", "check_package"]

ENTRY_POINTS = ("index.js", "index.mjs")
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageLimits:
    """Bounds of one package; the defaults are those of the settings `YUNHAN_PACKAGE_*`."""

    zip_max_bytes: int = 100 * _MIB
    unpacked_max_bytes: int = 500 * _MIB
    entries_max: int = 50_000
    """Files and folders, those folders included that are only named by their files."""
    ratio_max: int = 200
    """Unpacked to packed size, where more than `ratio_from_bytes` are unpacked."""
    ratio_from_bytes: int = 10 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFacts:
    """What a package holds. `root` is the folder around index.js with its slash, or empty."""

    root: str
    entries: int
    unpacked_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageEntry:
    """One file or folder, with its path below the root."""

    path: str
    folder: bool
    executable: bool
    zipped: ZipEntry


class Package:
    """An open package whose names, types and declared sizes have been checked.

    What its entries hold is checked by reading them: the declared sizes are within the limits, and
    `read` gives no more than declared.
    """

    def __init__(self, file: BinaryIO, facts: PackageFacts, entries: list[PackageEntry]) -> None:
        self._file = file
        self.facts = facts
        self.entries = entries

    def read(self, entry: PackageEntry) -> Iterator[bytes]:
        """A file's bytes in chunks. Raises PackageError, at the latest after the last chunk."""
        return read_entry(self._file, entry.zipped)


def check_package(path: Path, *, function: str, limits: PackageLimits) -> PackageFacts:
    """Read the whole package and tell what it holds.

    Raises PackageError for whatever is wrong with it, OSError when the file cannot be read.
    Blocking; time and memory are bounded by `limits`.
    """
    with open_package(path, function=function, limits=limits) as package:
        for entry in package.entries:
            if not entry.folder:
                for _ in package.read(entry):
                    pass
        return package.facts


@contextmanager
def open_package(path: Path, *, function: str, limits: PackageLimits) -> Iterator[Package]:
    """Open a package for reading. Raises PackageError when it breaks a rule."""
    with path.open("rb") as file:
        zip_bytes = file.seek(0, 2)
        if zip_bytes > limits.zip_max_bytes:
            raise PackageError(
                PackageCode.TOO_LARGE,
                f"the zip has {zip_bytes} bytes, at most {limits.zip_max_bytes} are allowed;"
                " leave out what the function does not need",
            )
        zipped = read_directory(file, entries_max=limits.entries_max)
        entries = [entry for entry in map(_entry, zipped) if entry is not None]
        _refuse_conflicts(entries, limits)
        root = _find_root(entries, function)
        _refuse_size(sum(entry.zipped.size_bytes for entry in entries), zip_bytes, limits)
        inside = list(_below(root, entries))
        facts = PackageFacts(
            root=root,
            entries=len(inside),
            unpacked_bytes=sum(entry.zipped.size_bytes for entry in inside),
        )
        yield Package(file, facts, inside)


def _entry(zipped: ZipEntry) -> PackageEntry | None:
    """The entry under its checked path; None for what is never unpacked."""
    path = checked_path(zipped.name)
    folder = zipped.name.endswith("/")
    kind = stat.S_IFMT(zipped.mode)
    if kind not in (0, stat.S_IFDIR, stat.S_IFREG):
        what = "a symbolic link" if kind == stat.S_IFLNK else "no ordinary file"
        raise PackageError(
            PackageCode.TYPE,
            f"entry {shown(zipped.name)} is {what}; packages hold files and folders only"
            " (zip -r without -y stores what a link points to)",
        )
    if (kind == stat.S_IFDIR and not folder) or (kind == stat.S_IFREG and folder):
        raise PackageError(
            PackageCode.TYPE,
            f"entry {shown(zipped.name)} is a folder by one mark and a file by another;"
            " make the zip again",
        )
    if folder and zipped.size_bytes:
        raise PackageError(
            PackageCode.TYPE, f"folder {shown(zipped.name)} has data; make the zip again"
        )
    if is_left_out(path) or (folder and not path):
        return None
    if not path:
        raise PackageError(PackageCode.NAME, f"entry {shown(zipped.name)} has no name; remove it")
    executable = bool(zipped.mode & stat.S_IXUSR)
    return PackageEntry(path=path, folder=folder, executable=executable, zipped=zipped)


def _refuse_conflicts(entries: list[PackageEntry], limits: PackageLimits) -> None:
    """No path twice, no file where a folder has to be; and count the folders that files imply."""
    files: set[str] = set()
    listed: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        mine = listed if entry.folder else files
        if entry.path in mine:
            raise PackageError(
                PackageCode.DUPLICATE,
                f"entry {shown(entry.path)} is there twice; make the zip again",
            )
        mine.add(entry.path)
        folder = entry.path if entry.folder else _parent(entry.path)
        while folder and folder not in folders:
            folders.add(folder)
            folder = _parent(folder)
            if len(files) + len(folders) > limits.entries_max:
                raise PackageError(
                    PackageCode.TOO_MANY_ENTRIES,
                    f"the zip has more than {limits.entries_max} files and folders; leave out what"
                    " the function does not need (development dependencies, tests)",
                )
    for path in files & folders:
        raise PackageError(
            PackageCode.DUPLICATE,
            f"entry {shown(path)} is a file and a folder at the same time; make the zip again",
        )


def _find_root(entries: list[PackageEntry], function: str) -> str:
    files = {entry.path for entry in entries if not entry.folder}
    if any(name in files for name in ENTRY_POINTS):
        return ""
    root = f"{function}/"
    if any(root + name in files for name in ENTRY_POINTS):
        for entry in entries:
            if entry.path != function and not entry.path.startswith(root):
                raise PackageError(
                    PackageCode.ENTRY_POINT,
                    f"index.js is in the folder {function!r} and would not see {shown(entry.path)}"
                    " beside it; put everything into that folder, or index.js at the top",
                )
        return root
    found = next((path for path in sorted(files) if _is_entry_point_below(path)), None)
    where = f"; there is {shown(found)}" if found else ""
    raise PackageError(
        PackageCode.ENTRY_POINT,
        f"the zip has no index.js (or index.mjs) at its top or in a folder named"
        f" {function!r}{where}; make the zip from inside the function's folder",
    )


def _is_entry_point_below(path: str) -> bool:
    folder, _, name = path.partition("/")
    return name in ENTRY_POINTS and folder != "node_modules"


def _refuse_size(unpacked: int, zip_bytes: int, limits: PackageLimits) -> None:
    if unpacked > limits.unpacked_max_bytes:
        raise PackageError(
            PackageCode.TOO_LARGE,
            f"the package has {unpacked} bytes unpacked, at most {limits.unpacked_max_bytes} are"
            " allowed; leave out what the function does not need (development dependencies, tests)",
        )
    if unpacked > limits.ratio_from_bytes and unpacked > limits.ratio_max * zip_bytes:
        raise PackageError(
            PackageCode.TOO_LARGE,
            f"the package has {unpacked} bytes unpacked, more than {limits.ratio_max} times the"
            f" {zip_bytes} bytes of its zip; leave out files that are almost empty",
        )


def _below(root: str, entries: list[PackageEntry]) -> Iterator[PackageEntry]:
    for entry in entries:
        path = entry.path.removeprefix(root)
        if f"{path}/" != root:
            yield PackageEntry(
                path=path, folder=entry.folder, executable=entry.executable, zipped=entry.zipped
            )


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
