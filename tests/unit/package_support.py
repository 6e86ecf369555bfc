"""Checks of small packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.package.check import (
    PackageError,
    PackageFacts,
    PackageLimits,
    check_package,
)
from runtime.testing.zips import RawEntry

INDEX = RawEntry(name=b"index.js", data=b"module.exports = () => 1\n")
KIB, MIB = 1024, 1024 * 1024
SMALL = PackageLimits(
    zip_max_bytes=MIB,
    unpacked_max_bytes=MIB,
    entries_max=50,
    ratio_max=20,
    ratio_from_bytes=100 * KIB,
)


def check(
    folder: Path, content: bytes, *, limits: PackageLimits = SMALL, function: str = "hello"
) -> PackageFacts:
    path = folder / "package.zip"
    path.write_bytes(content)
    return check_package(path, function=function, limits=limits)


def refusal(folder: Path, content: bytes, *, limits: PackageLimits = SMALL) -> PackageError:
    with pytest.raises(PackageError) as caught:
        check(folder, content, limits=limits)
    return caught.value
