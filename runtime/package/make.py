"""Packs a function's folder into a zip, the same bytes for the same contents (`yunhan deploy`).

The folder is packed as it is, `node_modules` included (design decision 16). A package has no links,
so they are replaced by what they point to, with two exceptions: the command links in
`node_modules/.bin`, which a function does not need and whose copies would look for their modules in
the wrong folder, are left out; pnpm's linked layout, which does not work as copies, is refused.
"""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.package.check import ENTRY_POINTS
from runtime.package.data import CHUNK_BYTES
from runtime.package.directory import read_directory
from runtime.package.errors import PackageCode, PackageError
from runtime.package.names import checked_path, is_left_out, shown

ENTRIES_MAX = 50_000
"""Default of YUNHAN_PACKAGE_ENTRIES_MAX, so that a hopeless upload is not even begun."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip can express: times must not change the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSummary:
    """The package at `path`. Sizes in bytes; `entries` are files and empty folders."""

    path: Path
    entries: int
    unpacked_bytes: int
    zip_bytes: int


_Identity = tuple[int, int]
"""Device and inode: what a folder is, under whatever path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    name: str
    path: Path
    folder: bool
    executable: bool
    size_bytes: int


def make_package(
    folder: Path,
    out: Path,
    *,
    function: str = "",
    entries_max: int = ENTRIES_MAX,
    progress: Callable[[int, int], None] | None = None,
) -> PackageSummary:
    """Write the folder's package to `out`, in one step: `out` is replaced when the zip is whole.

    index.js is at the top, or in a folder named like `function` beside which nothing is.
    When `folder` is a zip file already, nothing is written and the summary names that file.
    `progress` gets the bytes packed and the bytes to pack. Left out: `.git`, `.DS_Store`, `out`
    itself. Raises PackageError with what to do about it, OSError when `out` cannot be written.
    """
    if folder.is_file():
        return _existing(folder, entries_max)
    if not folder.is_dir():
        raise PackageError(
            PackageCode.ENTRY_POINT, f"{folder} is neither a folder nor a zip file; check the path"
        )
    inside = function if _has_entry_point(folder / function) else ""
    if not _has_entry_point(folder) and not inside:
        raise PackageError(PackageCode.ENTRY_POINT, _no_entry_point(folder))
    try:
        sources = sorted(_collect(folder, out, entries_max), key=lambda source: source.name)
        if not _has_entry_point(folder):
            _refuse_beside(folder, inside, sources)
    except OSError as error:
        raise PackageError(
            PackageCode.TYPE, f"{error.filename} cannot be read: {error.strerror}"
        ) from error
    total = sum(source.size_bytes for source in sources)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".yunhan-", dir=out.parent) as drafts:
        draft = Path(drafts, out.name)
        _write(draft, sources, total, progress)
        draft.replace(out)
    return PackageSummary(
        path=out, entries=len(sources), unpacked_bytes=total, zip_bytes=out.stat().st_size
    )


def _has_entry_point(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ENTRY_POINTS)


def _refuse_beside(folder: Path, inside: str, sources: list[_Source]) -> None:
    """As the server does with a zip: what is beside the function's folder would be lost."""
    for source in sources:
        if not source.name.startswith(f"{inside}/"):
            raise PackageError(
                PackageCode.ENTRY_POINT,
                f"index.js is in {folder / inside} and would not see {shown(source.name)} beside"
                f" it; deploy that folder instead: {folder / inside}",
            )


def _existing(path: Path, entries_max: int) -> PackageSummary:
    if path.suffix in {".js", ".mjs", ".cjs", ".ts", ".json"}:
        raise PackageError(
            PackageCode.NOT_A_ZIP, f"{path} is one file; name its folder: {path.parent}"
        )
    with path.open("rb") as file:
        entries = read_directory(file, entries_max=entries_max)
    return PackageSummary(
        path=path,
        entries=len(entries),
        unpacked_bytes=sum(entry.size_bytes for entry in entries),
        zip_bytes=path.stat().st_size,
    )


def _no_entry_point(folder: Path) -> str:
    below = sorted(path.parent for name in ENTRY_POINTS for path in folder.glob(f"*/{name}"))
    if below:
        return f"{folder} has no index.js (or index.mjs); perhaps you mean {below[0]}"
    return (
        f"{folder} has no index.js (or index.mjs); name the folder of the function, whose index.js"
        " exports it: module.exports = async (ctx) => ..."
    )


# --- what goes in -------------------------------------------------------------------------------


def _collect(top: Path, out: Path, entries_max: int) -> Iterator[_Source]:
    """Every file and every empty folder; links are followed within `top`."""
    root = top.resolve()
    result = out.resolve()
    count = 0
    waiting: list[tuple[Path, str, tuple[_Identity, ...]]] = [(root, "", (_identity(root),))]
    while waiting:
        folder, prefix, around = waiting.pop()
        empty = True
        for path in folder.iterdir():
            name = prefix + path.name
            if path.name == ".git" or is_left_out(name) or path == result:
                continue
            if path.is_symlink():
                if prefix.endswith("node_modules/.bin/"):
                    continue
                _refuse_bad_link(path, name, root)
            empty = False
            checked_path(name)
            count += 1
            if count > entries_max:
                raise PackageError(
                    PackageCode.TOO_MANY_ENTRIES,
                    f"{top} has more than {entries_max} files and folders; leave out what the"
                    " function does not need (npm install --omit=dev)",
                )
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                identity = _identity(path)
                _refuse_bad_folder(path, name, looped=identity in around)
                waiting.append((path, f"{name}/", (*around, identity)))
            elif stat.S_ISREG(found.st_mode):
                yield _Source(
                    name=name,
                    path=path,
                    folder=False,
                    executable=bool(found.st_mode & stat.S_IXUSR),
                    size_bytes=found.st_size,
                )
            else:
                raise PackageError(
                    PackageCode.TYPE,
                    f"{shown(name)} is no ordinary file (a socket, pipe or device); remove it",
                )
        if empty and prefix:
            yield _Source(name=prefix, path=folder, folder=True, executable=True, size_bytes=0)


def _identity(folder: Path) -> _Identity:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _refuse_bad_link(path: Path, name: str, root: Path) -> None:
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(root):
        raise PackageError(
            PackageCode.TYPE,
            f"{shown(name)} is a link out of the folder, to {target}; copy what it points to into"
            " the folder (npm install --install-links does so for local packages)",
        )
    if not path.exists():
        raise PackageError(
            PackageCode.TYPE, f"{shown(name)} is a link to nothing ({target}); remove it"
        )


def _refuse_bad_folder(path: Path, name: str, *, looped: bool) -> None:
    if path.name == ".pnpm" and path.parent.name == "node_modules":
        raise PackageError(
            PackageCode.TYPE,
            f"{shown(name)} is pnpm's linked layout, which cannot be packed; install with"
            " pnpm install --node-linker=hoisted, or with npm",
        )
    if looped:
        raise PackageError(
            PackageCode.TYPE,
            f"{shown(name)} is a link to a folder around it; remove the link",
        )


# --- writing ------------------------------------------------------------------------------------


def _write(
    draft: Path,
    sources: list[_Source],
    total: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    done = 0
    with zipfile.ZipFile(draft, "w") as archive:
        for source in sources:
            with archive.open(_header(source), "w") as target:
                for chunk in _read(source):
                    target.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, total)


def _header(source: _Source) -> zipfile.ZipInfo:
    header = zipfile.ZipInfo(source.name, date_time=_EARLIEST)
    kind = stat.S_IFDIR if source.folder else stat.S_IFREG
    header.create_system = 3  # Unix: the attributes hold a file mode
    header.external_attr = (kind | (0o755 if source.executable else 0o644)) << 16
    header.compress_type = zipfile.ZIP_STORED if source.folder else zipfile.ZIP_DEFLATED
    header.file_size = source.size_bytes
    return header


def _read(source: _Source) -> Iterator[bytes]:
    if source.folder:
        return
    try:
        with source.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise PackageError(
            PackageCode.TYPE, f"{source.path} cannot be read: {error.strerror}"
        ) from error
