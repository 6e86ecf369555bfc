"""What unpacking leaves on the disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runtime.package.check import (
    PackageCode,
    PackageError,
    PackageFacts,
    PackageLimits,
    check_package,
)
from runtime.package.unpack import remove_tree, unpack_package
from runtime.testing.zips import STORED, RawEntry, make_zip

LIMITS = PackageLimits()


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return tmp_path / "package.zip"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "tree"


def unpack(packed: Path, target: Path, *entries: RawEntry) -> PackageFacts:
    packed.write_bytes(make_zip(entries))
    return unpack_package(packed, target, function="hello", limits=LIMITS)


def contents(tree: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_folders(packed: Path, target: Path) -> None:
    facts = unpack(
        packed,
        target,
        RawEntry(name=b"index.js", data=b"1"),
        RawEntry(name=b"lib/deep/a.js", data=b"2", method=STORED),
        RawEntry(name=b"lib/", method=STORED, mode=0o40755),
        RawEntry(name=b"empty/", method=STORED, mode=0o40755),
        RawEntry(name="数据/值.json".encode(), data=b"{}"),
        RawEntry(name=b"__MACOSX/._index.js", data=b"x"),
    )
    assert facts == PackageFacts(root="", entries=5, unpacked_bytes=4)
    assert contents(target) == {
        "index.js": b"1",
        "lib/deep/a.js": b"2",
        "数据/值.json": b"{}",
    }
    assert (target / "empty").is_dir()


def test_the_folder_named_like_the_function_is_stripped(packed: Path, target: Path) -> None:
    facts = unpack(
        packed,
        target,
        RawEntry(name=b"hello/", method=STORED),
        RawEntry(name=b"hello/index.js", data=b"1"),
        RawEntry(name=b"hello/hello/a.js", data=b"2"),
    )
    assert facts.root == "hello/"
    assert contents(target) == {"index.js": b"1", "hello/a.js": b"2"}


def test_modes_are_reduced_to_read_and_execute(packed: Path, target: Path) -> None:
    unpack(
        packed,
        target,
        RawEntry(name=b"index.js", mode=0o100666),
        RawEntry(name=b"bin/tool", mode=0o106777),
        RawEntry(name=b"open/", mode=0o41777, method=STORED),
    )
    assert mode(target / "index.js") == 0o444
    assert mode(target / "bin/tool") == 0o555
    assert [mode(path) for path in (target, target / "bin", target / "open")] == [0o555] * 3


@pytest.mark.parametrize(
    "bad",
    [
        RawEntry(name=b"../escaped", data=b"x"),
        RawEntry(name=b"/tmp/escaped", data=b"x"),
        RawEntry(name=b"link", data=b"/etc", mode=0o120777),
        RawEntry(name=b"a", data=b"x", crc=1),
        RawEntry(name=b"a", data=b"x" * 1000, size_bytes=10),
        RawEntry(name=b"a", data=b"x", local_name=b"../escaped"),
    ],
)
def test_a_bad_package_leaves_nothing(
    packed: Path, target: Path, bad: RawEntry, tmp_path: Path
) -> None:
    with pytest.raises(PackageError):
        unpack(packed, target, RawEntry(name=b"index.js", data=b"1"), bad)
    assert list(target.parent.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "package.zip"]


def test_a_package_that_changed_after_the_check(packed: Path, target: Path) -> None:
    packed.write_bytes(make_zip([RawEntry(name=b"index.js", data=b"1")]))
    check_package(packed, function="hello", limits=LIMITS)
    with pytest.raises(PackageError):
        unpack(packed, target, RawEntry(name=b"index.js", data=b"2", crc=3))
    assert not target.exists()


def test_an_existing_tree_is_not_touched(packed: Path, target: Path) -> None:
    unpack(packed, target, RawEntry(name=b"index.js", data=b"1"))
    with pytest.raises(OSError, match=r"not empty|exists"):
        unpack(packed, target, RawEntry(name=b"index.js", data=b"2"))
    assert contents(target) == {"index.js": b"1"}
    assert [path.name for path in target.parent.iterdir()] == ["tree"]


def test_a_full_disk_leaves_nothing(
    packed: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", fail)
    with pytest.raises(OSError, match="No space left"):
        unpack(packed, target, RawEntry(name=b"lib/index.js"), RawEntry(name=b"index.js"))
    assert list(target.parent.iterdir()) == []


def test_names_that_this_file_system_does_not_tell_apart(
    packed: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def open_ignoring_case(
        path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if flags & os.O_CREAT:
            path = Path(path).with_name(Path(path).name.lower())
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_ignoring_case)
    with pytest.raises(PackageError, match="differ in more than case") as caught:
        unpack(packed, target, RawEntry(name=b"index.js"), RawEntry(name=b"INDEX.js"))
    assert caught.value.code == PackageCode.DUPLICATE
    monkeypatch.undo()
    assert list(target.parent.iterdir()) == []


def test_a_tree_can_be_removed_and_removing_is_idempotent(packed: Path, target: Path) -> None:
    unpack(packed, target, RawEntry(name=b"index.js"), RawEntry(name=b"a/b/c.js"))
    remove_tree(target)
    remove_tree(target)
    assert list(target.parent.iterdir()) == []
