"""Which paths a code package may hold, and which of them are left out."""

from __future__ import annotations

import re

from runtime.package.errors import PackageCode, PackageError

PATH_MAX_BYTES = 1024
"""Far below what every system accepts (Linux 4096), because the target folder comes before it."""
SEGMENT_MAX_BYTES = 255
"""What the usual file systems accept for one name."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")


def checked_path(name: str) -> str:
    """The relative path that an entry's name stands for, without `.` segments and trailing slash.

    The empty string is the package itself (`./`). Raises PackageError when the name could leave the
    target folder, means something else on another system, or is too long for a file system.
    """
    if _CONTROL.search(name):
        raise _refusal(name, "has a control character in its name; rename the file")
    if "\\" in name:
        raise _refusal(
            name, "has a backslash in its name; make the zip with forward slashes between folders"
        )
    if name.startswith("/") or _DRIVE.match(name):
        raise _refusal(name, "is an absolute path; make the zip from inside the function's folder")
    segments = name.removesuffix("/").split("/")
    if ".." in segments:
        raise _refusal(name, "leads out of the package by '..'; remove the entry")
    if "" in segments:
        raise _refusal(name, "has an empty folder name; make the zip again")
    path = "/".join(segment for segment in segments if segment != ".")
    try:
        longest = max(len(segment.encode()) for segment in segments)
        total = len(path.encode())
    except UnicodeEncodeError:
        raise _refusal(name, "is not valid UTF-8; rename the file") from None
    if total > PATH_MAX_BYTES or longest > SEGMENT_MAX_BYTES:
        raise _refusal(
            name,
            f"is longer than {PATH_MAX_BYTES} bytes, or one of its folders longer than"
            f" {SEGMENT_MAX_BYTES}; shorten it",
        )
    return path


def is_left_out(path: str) -> bool:
    """Whether this path is what macOS adds to folders and zips; it is never unpacked."""
    return path.split("/", 1)[0] == "__MACOSX" or path.rsplit("/", 1)[-1] == ".DS_Store"


def shown(name: str) -> str:
    """A name for a message: quoted, one line, not too long."""
    return repr(name if len(name) <= 100 else f"{name[:60]}...{name[-30:]}")


def _refusal(name: str, problem: str) -> PackageError:
    return PackageError(PackageCode.NAME, f"entry {shown(name)} {problem}")
