"""A sandbox's folder that could not be deleted for want of descriptors goes with the next one."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from sandbox.folders import remove_sandbox_folder, sandbox_folder


def folder(run_dir: Path, sandbox_id: str) -> Path:
    made = sandbox_folder(run_dir, sandbox_id)
    (made / "work").mkdir(parents=True)
    return made


@pytest.mark.parametrize(("number", "left"), [(errno.EMFILE, False), (errno.EBUSY, True)])
def test_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, left: bool
) -> None:
    first, second = folder(tmp_path, "s1"), folder(tmp_path, "s2")

    def refuse(path: Path) -> None:
        raise OSError(number, "refused", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", refuse)
        remove_sandbox_folder(first)
    assert first.exists()
    remove_sandbox_folder(second)
    assert not second.exists()
    assert first.exists() is left
