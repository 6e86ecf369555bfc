"""Whatever a zip holds, unpacking it writes below the target only and fails with PackageError only."""

from __future__ import annotations

import io
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.package.check import PackageError, PackageFacts, PackageLimits, check_package
from runtime.package.make import make_package
from runtime.package.unpack import remove_tree, unpack_package
from runtime.testing.zips import DEFLATED, STORED, RawEntry, make_zip

LIMITS = PackageLimits(
    zip_max_bytes=100_000, unpacked_max_bytes=10_000, entries_max=30, ratio_from_bytes=5_000
)

_segments = st.sampled_from(
    [
        *(b"index.js", b"hello", b"..", b".", b"", b"a", b"b", b"A", b"\\", b"C:", b"a\0"),
        *(b"\xff", "ü".encode(), b"__MACOSX", b".DS_Store", b"\n", b"x" * 300),
    ]
)
_names = st.lists(_segments, min_size=1, max_size=4).map(b"/".join)
_modes = st.sampled_from([0, 0o100644, 0o100755, 0o104755, 0o040755, 0o120777, 0o020666, 0o177777])
_numbers = st.one_of(
    st.none(), st.integers(0, 200), st.sampled_from([0xFFFFFFFF, 0xFFFFFFFE, 0x80000000])
)
_extras = st.one_of(
    st.just(b""),
    st.binary(max_size=30),
    st.lists(st.integers(0, 2**64 - 1), max_size=3).map(
        lambda values: (
            b"\1\0"
            + (8 * len(values)).to_bytes(2, "little")
            + b"".join(value.to_bytes(8, "little") for value in values)
        )
    ),
)
_entries = st.builds(
    RawEntry,
    name=_names,
    data=st.one_of(st.binary(max_size=50), st.just(bytes(9_000))),
    method=st.sampled_from([STORED, DEFLATED, DEFLATED, 12]),
    mode=_modes,
    flags=st.sampled_from([0, 0, 0, 0x8, 0x800, 0x1]),
    local_name=st.one_of(st.none(), st.none(), _names),
    packed=st.one_of(st.none(), st.none(), st.binary(max_size=20)),
    packed_bytes=_numbers,
    size_bytes=_numbers,
    crc=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    at=_numbers,
    extra=_extras,
)
_honest = st.builds(RawEntry, name=_names, data=st.binary(max_size=50), mode=_modes)
_zips = st.builds(
    make_zip,
    st.lists(st.one_of(_honest, _entries), max_size=6).map(
        lambda entries: [RawEntry(name=b"index.js"), *entries]
    ),
    count=st.one_of(st.none(), st.none(), st.integers(0, 40)),
    zip64=st.booleans(),
    comment=st.one_of(st.just(b""), st.binary(max_size=40)),
)


def unpack_or_refuse(content: bytes) -> dict[str, bytes] | None:
    """What came onto the disk; None when it was refused. Checks what holds in any case."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        packed, inside = top / "package.zip", top / "inside"
        packed.write_bytes(content)
        inside.mkdir()
        target = inside / "tree"
        checked: PackageFacts | None = None
        with suppress(PackageError):
            checked = check_package(packed, function="hello", limits=LIMITS)
        try:
            unpacked = unpack_package(packed, target, function="hello", limits=LIMITS)
        except PackageError:
            assert checked is None
            assert list(inside.iterdir()) == []
            assert sorted(path.name for path in top.iterdir()) == ["inside", "package.zip"]
            return None
        assert unpacked == checked
        assert sorted(path.name for path in top.iterdir()) == ["inside", "package.zip"]
        assert [path.name for path in inside.iterdir()] == ["tree"]
        found = list(target.rglob("*"))
        assert not any(path.is_symlink() for path in found)
        assert all(path.is_file() or path.is_dir() for path in found)
        files = {
            str(path.relative_to(target)): path.read_bytes() for path in found if path.is_file()
        }
        assert sum(map(len, files.values())) == unpacked.unpacked_bytes <= LIMITS.unpacked_max_bytes
        assert len(found) <= LIMITS.entries_max
        remove_tree(target)
        return files


@settings(max_examples=400, deadline=None)
@given(_zips)
def test_zips_with_hostile_fields(content: bytes) -> None:
    unpack_or_refuse(content)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_zips_with_changed_bytes(data: st.DataObject) -> None:
    content = bytearray(
        make_zip(
            [
                RawEntry(name=b"index.js", data=b"module.exports = 1"),
                RawEntry(name=b"lib/a.js", data=bytes(500)),
                RawEntry(name=b"b", data=b"stored", method=STORED, mode=0o100755),
            ],
            zip64=data.draw(st.booleans()),
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    unpack_or_refuse(bytes(content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(b"PK\x05\x06" + bytes(18))
@example(b"PK\x05\x06" + b"\xff" * 16 + bytes(2))
def test_arbitrary_bytes(content: bytes) -> None:
    assert unpack_or_refuse(content) is None


_file_names = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:"),
        min_size=1,
        max_size=8,
    ).filter(lambda name: name not in {".", "..", ".git", ".DS_Store", "__MACOSX"}),
    min_size=1,
    max_size=3,
).map("/".join)
_trees = st.dictionaries(_file_names, st.binary(max_size=200), max_size=6)


def _without_conflicts(tree: dict[str, bytes]) -> dict[str, bytes]:
    return {
        name: data
        for name, data in tree.items()
        if not any(other != name and name.startswith(f"{other}/") for other in tree)
        and not name.startswith("index.js/")
    }


@settings(max_examples=150, deadline=None)
@given(_trees.map(_without_conflicts))
def test_packing_and_unpacking_keeps_the_contents(tree: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "folder")
        for path, content in {**tree, "index.js": b"1"}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        summary = make_package(folder, Path(name, "out.zip"))
        assert summary.unpacked_bytes == 1 + sum(
            len(content) for path, content in tree.items() if path != "index.js"
        )
        assert unpack_or_refuse(summary.path.read_bytes()) == {**tree, "index.js": b"1"}


@settings(max_examples=100, deadline=None)
@given(_trees.map(_without_conflicts), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_agrees_with_another_reader(tree: dict[str, bytes], method: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for path, content in {**tree, "index.js": b"1"}.items():
            archive.writestr(path, content)
    with zipfile.ZipFile(stream) as archive:
        expected = {path: archive.read(path) for path in archive.namelist()}
    assert unpack_or_refuse(stream.getvalue()) == expected
