"""Packages that are too large, that lie about themselves, or that are damaged."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest

from runtime.package.check import (
    PackageCode,
    PackageError,
    PackageLimits,
    check_package,
)
from runtime.testing.zips import STORED, RawEntry, deflate, make_zip
from tests.unit.package_support import INDEX, KIB, MIB, SMALL, check, refusal

# --- sizes ------------------------------------------------------------------------------------------


def test_a_zip_that_is_too_large(tmp_path: Path) -> None:
    entry = RawEntry(name=b"a", data=bytes(MIB), method=STORED)
    assert refusal(tmp_path, make_zip([INDEX, entry])).code == PackageCode.TOO_LARGE


def test_contents_that_are_too_large(tmp_path: Path) -> None:
    limits = PackageLimits(unpacked_max_bytes=10 * KIB)
    entries = [INDEX, *(RawEntry(name=b"%d" % n, data=bytes(KIB)) for n in range(10))]
    assert refusal(tmp_path, make_zip(entries), limits=limits).code == PackageCode.TOO_LARGE


def test_ratio_holds_only_above_a_size(tmp_path: Path) -> None:
    just_below = RawEntry(name=b"a", data=bytes(100 * KIB - len(INDEX.data)))
    assert check(tmp_path, make_zip([INDEX, just_below])).unpacked_bytes == 100 * KIB
    just_above = RawEntry(name=b"a", data=bytes(100 * KIB + 1))
    error = refusal(tmp_path, make_zip([INDEX, just_above]))
    assert error.code == PackageCode.TOO_LARGE
    assert "20 times" in error.message


def test_a_bomb_that_declares_a_small_size(tmp_path: Path) -> None:
    entry = RawEntry(name=b"a", data=bytes(50 * MIB), size_bytes=10)
    tracemalloc.start()
    try:
        path = tmp_path / "package.zip"
        path.write_bytes(make_zip([INDEX, entry]))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(PackageError, match="larger than it says"):
            check_package(path, function="hello", limits=SMALL)
        assert tracemalloc.get_traced_memory()[1] - before < 2 * MIB
    finally:
        tracemalloc.stop()


def test_a_large_file_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(make_zip([INDEX, RawEntry(name=b"a", data=bytes(9 * MIB))]))
    tracemalloc.start()
    try:
        check_package(path, function="hello", limits=PackageLimits())
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


def test_entries_that_share_their_data(tmp_path: Path) -> None:
    bomb = RawEntry(name=b"a0", data=bytes(90 * KIB))
    behind = len(make_zip([INDEX])) - 22 - 46 - len(INDEX.name)
    copies = [RawEntry(name=b"a0", packed=b"", at=behind) for _ in range(3)]
    assert refusal(tmp_path, make_zip([INDEX, bomb, *copies])).code == PackageCode.DUPLICATE
    others = [RawEntry(name=b"b%d" % n, local_name=b"", packed=b"", at=behind) for n in range(3)]
    error = refusal(tmp_path, make_zip([INDEX, bomb, *others]))
    assert error.code == PackageCode.DAMAGED
    assert "overlaps" in error.message


def test_an_entry_whose_data_goes_into_the_next_one(tmp_path: Path) -> None:
    first = RawEntry(name=b"a", data=b"x" * 20, method=STORED, packed_bytes=80, size_bytes=80)
    error = refusal(tmp_path, make_zip([first, INDEX]))
    assert error.code == PackageCode.DAMAGED
    assert "overlaps" in error.message


def test_too_many_entries_are_refused_by_their_count(tmp_path: Path) -> None:
    error = refusal(tmp_path, make_zip([INDEX], count=51))
    assert error.code == PackageCode.TOO_MANY_ENTRIES
    error = refusal(tmp_path, make_zip([INDEX], count=10**15, zip64=True))
    assert error.code == PackageCode.TOO_MANY_ENTRIES


def test_folders_that_are_only_named_by_files_count(tmp_path: Path) -> None:
    entries = [INDEX, *(RawEntry(name=b"%d/a/b/c/d/e/f" % n) for n in range(10))]
    assert refusal(tmp_path, make_zip(entries)).code == PackageCode.TOO_MANY_ENTRIES


# --- lies and damage --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(RawEntry(name=b"a", data=b"xyz", crc=1), id="checksum"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", size_bytes=2), id="smaller size"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", size_bytes=4), id="larger size"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", packed=b"\xff\xff"), id="bad deflate"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", packed=deflate(b"xyz")[:-1]), id="cut"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", packed=deflate(b"xyz") + b"!"), id="junk"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", local_name=b"b"), id="local name"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", local_name=b"../a"), id="local path"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", local_method=STORED), id="local method"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", local_flags=1), id="local encryption"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", at=3), id="offset into an entry"),
        pytest.param(RawEntry(name=b"a", data=b"xyz", at=10_000), id="offset behind the data"),
        pytest.param(RawEntry(name=b"a", size_bytes=0xFFFFFFFF), id="no zip64 field"),
        pytest.param(
            RawEntry(name=b"a", size_bytes=0xFFFFFFFF, extra=struct.pack("<HHL", 1, 4, 3)),
            id="short zip64 field",
        ),
        pytest.param(
            RawEntry(name=b"a", at=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, 2**64 - 1)),
            id="zip64 offset",
        ),
    ],
)
def test_entries_that_lie(tmp_path: Path, entry: RawEntry) -> None:
    error = refusal(tmp_path, make_zip([INDEX, entry]))
    assert error.code == PackageCode.DAMAGED


@pytest.mark.parametrize("size", [2**33, 2**64 - 1])
def test_zip64_sizes_are_believed_only_within_the_limits(tmp_path: Path, size: int) -> None:
    entry = RawEntry(name=b"a", size_bytes=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, size))
    assert refusal(tmp_path, make_zip([INDEX, entry])).code == PackageCode.TOO_LARGE


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK", id="two bytes"),
        pytest.param(b"<html>not found</html>", id="a web page"),
        pytest.param(b"\x1f\x8b" + bytes(100), id="gzip"),
        pytest.param(make_zip([INDEX])[:-1], id="cut at the end"),
        pytest.param(make_zip([INDEX])[:40], id="cut in the middle"),
        pytest.param(make_zip([INDEX], suffix=b"junk"), id="junk behind"),
        pytest.param(make_zip([INDEX], prefix=b"#!/bin/sh\n"), id="junk before"),
        pytest.param(make_zip([INDEX], before_end=b"junk"), id="junk inside"),
        pytest.param(make_zip([INDEX], disk=1), id="split"),
        pytest.param(make_zip([INDEX], disk=1, zip64=True), id="split zip64"),
    ],
)
def test_files_that_are_no_plain_zip(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path, content).code == PackageCode.NOT_A_ZIP


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_directory_that_lies_about_its_length(tmp_path: Path, count: int) -> None:
    content = make_zip([INDEX, RawEntry(name=b"a")], count=count)
    assert refusal(tmp_path, content).code == PackageCode.DAMAGED


def test_a_missing_file_is_not_the_packages_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_package(tmp_path / "nothing.zip", function="hello", limits=SMALL)
