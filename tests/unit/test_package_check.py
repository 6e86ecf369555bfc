"""What a package may be, and what is refused with which code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from runtime.package.check import (
    PackageCode,
    PackageFacts,
    PackageLimits,
)
from runtime.testing.zips import STORED, RawEntry, make_zip
from tests.unit.package_support import INDEX, check, refusal

# --- accepted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"index.js", b"index.mjs", b"./index.js"])
def test_entry_point_at_the_top(tmp_path: Path, name: bytes) -> None:
    facts = check(tmp_path, make_zip([RawEntry(name=name, data=b"12345")]))
    assert facts == PackageFacts(root="", entries=1, unpacked_bytes=5)


def test_entry_point_in_a_folder_named_like_the_function(tmp_path: Path) -> None:
    content = make_zip(
        [
            RawEntry(name=b"hello/", mode=0o40755, method=STORED),
            RawEntry(name=b"hello/index.js", data=b"12"),
            RawEntry(name=b"hello/lib/", mode=0o40755, method=STORED),
            RawEntry(name=b"hello/lib/a.js", data=b"345"),
        ]
    )
    assert check(tmp_path, content) == PackageFacts(root="hello/", entries=3, unpacked_bytes=5)


def test_the_top_wins_over_a_folder(tmp_path: Path) -> None:
    content = make_zip([RawEntry(name=b"hello/index.js"), INDEX])
    assert check(tmp_path, content).root == ""


def test_additions_of_macos_are_not_counted(tmp_path: Path) -> None:
    content = make_zip(
        [
            RawEntry(name=b"hello/index.js", data=b"1"),
            RawEntry(name=b"hello/.DS_Store", data=b"xxxx"),
            RawEntry(name=b"__MACOSX/hello/._index.js", data=b"xxxx"),
        ]
    )
    assert check(tmp_path, content) == PackageFacts(root="hello/", entries=1, unpacked_bytes=1)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(RawEntry(name=b"a", data=b"x" * 5000, method=STORED), id="stored"),
        pytest.param(RawEntry(name=b"a", packed=b""), id="empty without deflate data"),
        pytest.param(RawEntry(name=b"a", mode=0o104755), id="setuid bit"),
        pytest.param(RawEntry(name="数据.json".encode(), flags=0x800), id="UTF-8"),
        pytest.param(RawEntry(name="数据.json".encode()), id="UTF-8 without its flag"),
        pytest.param(RawEntry(name=b"\x81\xff.js"), id="code page 437"),
        pytest.param(RawEntry(name=b"a", extra=b"\x0d\x00\x04\x00abcd"), id="extra field"),
        pytest.param(RawEntry(name=b"x" * 255), id="longest name"),
        pytest.param(RawEntry(name=b"x" * 200 + b"/y" * 412), id="longest path"),
        pytest.param(RawEntry(name=b"nested.zip", data=make_zip([INDEX])), id="zip in zip"),
        pytest.param(RawEntry(name=b"INDEX.JS"), id="differs in case"),
        pytest.param(RawEntry(name=b"ab:c"), id="colon"),
    ],
)
def test_accepted_entries(tmp_path: Path, entry: RawEntry) -> None:
    limits = PackageLimits(entries_max=1000)
    assert check(tmp_path, make_zip([INDEX, entry]), limits=limits).entries == 2


def test_a_comment_that_looks_like_an_end_record(tmp_path: Path) -> None:
    comment = b"PK\x05\x06" + bytes(18) + b"tail"
    assert check(tmp_path, make_zip([INDEX], comment=comment)).entries == 1


def test_zip64_end_record(tmp_path: Path) -> None:
    assert check(tmp_path, make_zip([INDEX], zip64=True)).entries == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("force_zip64", [False, True])
@pytest.mark.parametrize("seekable", [False, True])
def test_zips_of_another_writer(
    tmp_path: Path, method: int, *, force_zip64: bool, seekable: bool
) -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return seekable

        def seek(self, offset: int, whence: int = 0) -> int:
            if not seekable:
                raise io.UnsupportedOperation
            return super().seek(offset, whence)

        def tell(self) -> int:
            if not seekable:
                raise io.UnsupportedOperation
            return super().tell()

    stream = Stream()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name in ("index.js", "lib/a.js"):
            with archive.open(name, "w", force_zip64=force_zip64) as file:
                file.write(b"x" * 10_000)
        archive.mkdir("lib/empty")
    assert check(tmp_path, stream.getvalue()) == PackageFacts(
        root="", entries=3, unpacked_bytes=20_000
    )


# --- names and types --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *(b"../a", b"a/../../b", b"a/..", b"..", b"/etc/passwd", b"//a", b"a//b", b"/"),
        *(b"C:/a", b"c:a", b"a\\b", b"..\\a", b"a\0b", b"a\nb", b"a\x7f", b"\x1b[31m"),
        *(b"x" * 256, b"a/" + b"x" * 256, b"/".join([b"x"] * 600), b""),
    ],
)
def test_names_that_are_refused(tmp_path: Path, name: bytes) -> None:
    error = refusal(tmp_path, make_zip([INDEX, RawEntry(name=name)]))
    assert error.code == PackageCode.NAME
    assert "\x1b" not in error.message
    assert "\n" not in error.message


def test_a_name_that_claims_to_be_utf8(tmp_path: Path) -> None:
    error = refusal(tmp_path, make_zip([INDEX, RawEntry(name=b"\xff\xfe", flags=0x800)]))
    assert error.code == PackageCode.NAME


def test_a_very_long_name_is_not_read(tmp_path: Path) -> None:
    error = refusal(tmp_path, make_zip([INDEX, RawEntry(name=b"x" * 60_000)]))
    assert error.code == PackageCode.NAME
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        (0o120777, "symbolic link"),
        (0o020666, "no ordinary file"),
        (0o060666, "no ordinary file"),
        (0o010666, "no ordinary file"),
        (0o140666, "no ordinary file"),
        (0o040755, "a folder by one mark and a file by another"),
    ],
)
def test_types_that_are_refused(tmp_path: Path, mode: int, what: str) -> None:
    error = refusal(tmp_path, make_zip([INDEX, RawEntry(name=b"a", data=b"/etc", mode=mode)]))
    assert error.code == PackageCode.TYPE
    assert "'a'" in error.message
    assert what in error.message


@pytest.mark.parametrize(
    "entry",
    [
        RawEntry(name=b"lib/", mode=0o100644),
        RawEntry(name=b"lib/", data=b"data"),
    ],
)
def test_folders_that_are_files(tmp_path: Path, entry: RawEntry) -> None:
    assert refusal(tmp_path, make_zip([INDEX, entry])).code == PackageCode.TYPE


@pytest.mark.parametrize(
    "names",
    [
        (b"a", b"a"),
        (b"a", b"./a"),
        (b"a/", b"a/"),
        (b"a", b"a/b"),
        (b"a/b", b"a"),
        (b"a", b"a/"),
        (b"a/b/c/d", b"a/b"),
    ],
)
def test_conflicts(tmp_path: Path, names: tuple[bytes, bytes]) -> None:
    error = refusal(tmp_path, make_zip([INDEX, *(RawEntry(name=name) for name in names)]))
    assert error.code == PackageCode.DUPLICATE


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (RawEntry(name=b"a", flags=0x1), PackageCode.ENCRYPTED),
        (RawEntry(name=b"a", flags=0x41), PackageCode.ENCRYPTED),
        (RawEntry(name=b"a", flags=0x2000), PackageCode.ENCRYPTED),
        (RawEntry(name=b"a", flags=0x20), PackageCode.METHOD),
        (RawEntry(name=b"a", method=9, packed=b""), PackageCode.METHOD),
        (RawEntry(name=b"a", method=12, packed=b""), PackageCode.METHOD),
        (RawEntry(name=b"a", method=14, packed=b""), PackageCode.METHOD),
        (RawEntry(name=b"a", method=93, packed=b""), PackageCode.METHOD),
    ],
)
def test_entries_that_cannot_be_read(tmp_path: Path, entry: RawEntry, code: PackageCode) -> None:
    assert refusal(tmp_path, make_zip([INDEX, entry])).code == code


# --- the entry point --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        ((), "no index.js"),
        ((b"main.js",), "no index.js"),
        ((b"index.js/",), "no index.js"),
        ((b"other/index.js",), "there is 'other/index.js'"),
        ((b"node_modules/index.js", b"src/index.js"), "there is 'src/index.js'"),
        ((b"hello/index.js", b"common/a.js"), "would not see 'common/a.js'"),
        ((b"__MACOSX/index.js",), "no index.js"),
    ],
)
def test_where_the_entry_point_is_missing(
    tmp_path: Path, names: tuple[bytes, ...], hint: str
) -> None:
    error = refusal(tmp_path, make_zip([RawEntry(name=name) for name in names]))
    assert error.code == PackageCode.ENTRY_POINT
    assert hint in error.message
