from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sandbox.api import SandboxError
from sandbox.code_view import fill_view, make_view, remove_view, sweep_views


def make_code(folder: Path) -> Path:
    code = folder / "code"
    (code / "lib" / "deep").mkdir(parents=True)
    (code / "index.js").write_text("1")
    (code / "lib" / "deep" / "a.js").write_text("2")
    (code / "outside").symlink_to("/etc/passwd")
    (code / "lib").chmod(0o555)
    return code


def test_links_files_and_never_follows_links(tmp_path: Path) -> None:
    code, view = make_code(tmp_path), make_view(tmp_path, "one")
    fill_view(view, code)
    assert (view / "index.js").samefile(code / "index.js")
    assert (view / "lib" / "deep" / "a.js").samefile(code / "lib" / "deep" / "a.js")
    assert (view / "outside").readlink() == Path("/etc/passwd")
    remove_view(view)
    remove_view(view)
    assert not view.exists()
    assert (code / "index.js").read_text() == "1"


def test_copies_where_no_link_is_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    code, view = make_code(tmp_path), make_view(tmp_path, "one")
    fill_view(view, code)
    assert (view / "index.js").read_text() == "1"
    assert not (view / "index.js").samefile(code / "index.js")


def test_refuses_what_is_neither_file_nor_folder(tmp_path: Path) -> None:
    code, view = make_code(tmp_path), make_view(tmp_path, "one")
    os.mkfifo(code / "pipe")
    with pytest.raises(SandboxError, match="pipe"):
        fill_view(view, code)


def test_sweeps_views_only(tmp_path: Path) -> None:
    make_view(tmp_path, "one")
    make_view(tmp_path, "two")
    (tmp_path / "other").mkdir()
    assert sweep_views(tmp_path) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]
