"""What a sandbox sees of its function's code: a folder of its own, filled when it is bound.

The folder is mounted (or allowed) before anybody knows whose code comes. It is filled with hard links,
which cost neither space nor reading, and works without privileges. Blocking: call from a thread.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import structlog

from sandbox.api import SandboxError

_log = structlog.get_logger(__name__)

_PREFIX = "sb-"
# Readable for the uid that the sandbox runs under; the directory above is the worker's alone.
_FOLDER_MODE = 0o755
# Another file system; a file with as many links as its file system allows; links refused.
_NO_LINK = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP})


def make_view(views_dir: Path, sandbox_id: str) -> Path:
    """An empty view. Raises OSError, FileExistsError among them."""
    view = views_dir / f"{_PREFIX}{sandbox_id}"
    view.mkdir()
    view.chmod(_FOLDER_MODE)
    return view


def fill_view(view: Path, code_dir: Path) -> None:
    """Show everything below `code_dir` in `view`.

    Folders are made anew, files are linked, or copied where no link is possible; links of the package
    stay links and are never followed. Raises SandboxError; a half filled view is of no use then.
    """
    try:
        _fill(view, code_dir)
    except (OSError, RecursionError) as error:
        raise SandboxError(
            f"the code in {code_dir} cannot be shown to a sandbox: {error}."
        ) from error


def remove_view(view: Path) -> None:
    """Idempotent. What cannot be removed is logged."""
    try:
        shutil.rmtree(view)
    except FileNotFoundError:
        return
    except (OSError, RecursionError) as error:
        _log.warning("sandbox_view_not_removed", view=str(view), reason=str(error))


def sweep_views(views_dir: Path) -> int:
    """Remove the views of a dead worker's sandboxes. Returns how many. Raises OSError."""
    views = [entry for entry in views_dir.iterdir() if entry.name.startswith(_PREFIX)]
    for view in views:
        remove_view(view)
    return len(views)


def _fill(view: Path, code_dir: Path) -> None:
    with os.scandir(code_dir) as entries:
        for entry in entries:
            shown = view / entry.name
            if entry.is_symlink():
                shown.symlink_to(Path(entry.path).readlink())
            elif entry.is_dir(follow_symlinks=False):
                shown.mkdir()
                shown.chmod(_FOLDER_MODE)
                _fill(shown, Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                _show_file(entry.path, shown)
            else:
                raise OSError(errno.EINVAL, "neither a file nor a folder", entry.path)


def _show_file(source: str, shown: Path) -> None:
    try:
        os.link(source, shown, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, shown, follow_symlinks=False)
        shutil.copymode(source, shown, follow_symlinks=False)
