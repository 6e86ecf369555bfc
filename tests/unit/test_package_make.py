"""Packing a function's folder."""

from __future__ import annotations

import os
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.package.check import PackageCode, PackageError, PackageLimits, check_package
from runtime.package.make import PackageSummary, make_package


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    write(folder, "index.js", "module.exports = () => 1")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "hello.zip"


def write(folder: Path, name: str, text: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def link(folder: Path, name: str, to: str | Path) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)


def contents(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_everything_goes_in_but_git_and_desktop_files(folder: Path, out: Path) -> None:
    write(folder, "lib/a.js", "a")
    write(folder, "node_modules/pkg/index.js", "p")
    write(folder, ".env", "e")
    write(folder, ".git/HEAD", "x")
    write(folder, "node_modules/pkg/.git", "x")
    write(folder, "lib/.DS_Store", "x")
    (folder / "empty" / "below").mkdir(parents=True)
    summary = make_package(folder, out)
    assert contents(out) == {
        ".env": "e",
        "empty/below/": "",
        "index.js": "module.exports = () => 1",
        "lib/a.js": "a",
        "node_modules/pkg/index.js": "p",
    }
    assert summary == PackageSummary(
        path=out, entries=5, unpacked_bytes=27, zip_bytes=out.stat().st_size
    )
    facts = check_package(out, function="hello", limits=PackageLimits())
    assert (facts.entries, facts.unpacked_bytes) == (5, 27)


def test_the_same_contents_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "copy"
    for name in ("z.js", "a/b.js", "a.js", "index.js"):
        write(other, name, "module.exports = () => 1")
    for name in ("a.js", "a/b.js", "z.js"):
        write(folder, name, "module.exports = () => 1")
    os.utime(folder / "z.js", (1, 1))
    (folder / "a.js").chmod(0o600)
    make_package(folder, tmp_path / "1.zip")
    make_package(other, tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    write(other, "z.js", "changed")
    make_package(other, tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() != (tmp_path / "2.zip").read_bytes()


def test_executables_stay_executable(folder: Path, out: Path) -> None:
    write(folder, "tool").chmod(0o700)
    make_package(folder, out)
    with zipfile.ZipFile(out) as archive:
        assert {info.filename: info.external_attr >> 16 for info in archive.infolist()} == {
            "index.js": 0o100644,
            "tool": 0o100755,
        }


def test_links_within_the_folder_become_what_they_point_to(folder: Path, out: Path) -> None:
    write(folder, "packages/shared/index.js", "s")
    link(folder, "node_modules/shared", "../packages/shared")
    link(folder, "alias.js", "index.js")
    make_package(folder, out)
    found = contents(out)
    assert found["node_modules/shared/index.js"] == "s"
    assert found["alias.js"] == found["index.js"]


def test_command_links_are_left_out(folder: Path, out: Path) -> None:
    write(folder, "node_modules/pkg/cli.js")
    link(folder, "node_modules/.bin/cli", "../pkg/cli.js")
    link(folder, "node_modules/.bin/broken", "../nothing")
    write(folder, "node_modules/.bin/real.cmd")
    make_package(folder, out)
    assert sorted(contents(out)) == [
        "index.js",
        "node_modules/.bin/real.cmd",
        "node_modules/pkg/cli.js",
    ]


def _outside(folder: Path) -> None:
    link(folder, "secret", write(folder.parent, "outside.txt"))


def _outside_folder(folder: Path) -> None:
    link(folder, "node_modules/shared", "../..")


def _dangling(folder: Path) -> None:
    link(folder, "a", "nothing")


def _endless(folder: Path) -> None:
    link(folder, "a", "a")


def _loop(folder: Path) -> None:
    link(folder, "lib/again", "..")


def _pnpm(folder: Path) -> None:
    write(folder, "node_modules/.pnpm/a@1/node_modules/a/index.js")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        # By a relative name, because a socket's path may have 107 bytes only.
        here = Path.cwd()
        os.chdir(folder)
        try:
            server.bind("pipe")
        finally:
            os.chdir(here)


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _backslash(folder: Path) -> None:
    write(folder, "a\\b.js")


def _not_utf8(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.js")).write_text("")


@pytest.mark.parametrize(
    ("spoil", "code", "hint"),
    [
        (_outside, PackageCode.TYPE, "'secret' is a link out of the folder"),
        (_outside_folder, PackageCode.TYPE, "--install-links"),
        (_dangling, PackageCode.TYPE, "'a' is a link to nothing"),
        (_endless, PackageCode.TYPE, "'a' is a link to nothing"),
        (_loop, PackageCode.TYPE, "'lib/again' is a link to a folder around it"),
        (_pnpm, PackageCode.TYPE, "--node-linker=hoisted"),
        (_socket, PackageCode.TYPE, "'pipe' is no ordinary file"),
        (_fifo, PackageCode.TYPE, "'pipe' is no ordinary file"),
        (_backslash, PackageCode.NAME, "backslash"),
        (_not_utf8, PackageCode.NAME, "not valid UTF-8"),
    ],
)
def test_what_cannot_be_packed(
    folder: Path, out: Path, spoil: Callable[[Path], None], code: PackageCode, hint: str
) -> None:
    spoil(folder)
    with pytest.raises(PackageError) as caught:
        make_package(folder, out)
    assert caught.value.code == code
    assert hint in caught.value.message
    assert not out.parent.exists()


def test_too_many_files_are_refused_before_packing(folder: Path, out: Path) -> None:
    for name in range(10):
        write(folder, f"lib/{name}.js")
    with pytest.raises(PackageError) as caught:
        make_package(folder, out, entries_max=10)
    assert caught.value.code == PackageCode.TOO_MANY_ENTRIES
    assert make_package(folder, out, entries_max=12).entries == 11


def test_a_folder_without_entry_point(tmp_path: Path, out: Path) -> None:
    write(tmp_path, "empty/readme.md")
    with pytest.raises(PackageError, match=r"has no index\.js.*module\.exports"):
        make_package(tmp_path / "empty", out)
    write(tmp_path, "project/hello/index.js")
    with pytest.raises(PackageError, match=r"perhaps you mean .*/project/hello$"):
        make_package(tmp_path / "project", out)
    with pytest.raises(PackageError, match="neither a folder nor a zip"):
        make_package(tmp_path / "nothing", out)


def test_the_entry_point_may_be_in_a_folder_named_like_the_function(
    tmp_path: Path, out: Path
) -> None:
    write(tmp_path, "outer/hello/index.js")
    made = make_package(tmp_path / "outer", out, function="hello")
    assert made.entries == 1
    facts = check_package(out, function="hello", limits=PackageLimits())
    assert facts.root == "hello/"
    write(tmp_path, "outer/shared.js")
    with pytest.raises(PackageError, match=r"would not see 'shared\.js' beside it.*/outer/hello$"):
        make_package(tmp_path / "outer", out, function="hello")


def test_one_file_is_no_package(tmp_path: Path, out: Path) -> None:
    write(tmp_path, "hello/index.js")
    with pytest.raises(PackageError, match=r"is one file; name its folder: .*/hello$"):
        make_package(tmp_path / "hello" / "index.js", out)


def test_an_existing_zip_is_taken_as_it_is(folder: Path, out: Path, tmp_path: Path) -> None:
    made = make_package(folder, tmp_path / "made.zip")
    assert make_package(tmp_path / "made.zip", out) == made
    assert not out.exists()
    write(tmp_path, "text.zip", "no zip")
    with pytest.raises(PackageError) as caught:
        make_package(tmp_path / "text.zip", out)
    assert caught.value.code == PackageCode.NOT_A_ZIP


def test_the_result_does_not_go_into_itself(folder: Path) -> None:
    first = make_package(folder, folder / "hello.zip")
    again = make_package(folder, folder / "hello.zip")
    assert first == again
    assert sorted(path.name for path in folder.iterdir()) == ["hello.zip", "index.js"]


def test_an_interrupted_packing_leaves_the_old_result(folder: Path, out: Path) -> None:
    make_package(folder, out)
    before = out.read_bytes()
    write(folder, "more.js", "more")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_package(folder, out, progress=interrupt)
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == {out.name: before}


def test_progress_counts_bytes_up_to_the_total(folder: Path, out: Path) -> None:
    write(folder, "large.bin", "x" * 1_000_000)
    seen: list[tuple[int, int]] = []
    make_package(folder, out, progress=lambda done, total: seen.append((done, total)))
    total = 1_000_000 + (folder / "index.js").stat().st_size
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)
    assert len(seen) > 3
