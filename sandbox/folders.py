"""The folders of sandboxes below a worker's run directory: names, removal, leftovers.

A function may have left anything in its folder and may still run processes in it. Blocking: call
from a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import stat
import time
from collections import deque
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

SHARED = "worker"
"""What a worker's sandboxes share, in its run directory (`sandbox.run_directory`)."""
_PREFIX = "sb-"
_PROC = Path("/proc")
# Until a killed process is gone it may still write, or have started another one.
_KILL_WAIT_S = 1.0
_KILL_PAUSE_S = 0.005

_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_left: deque[Path] = deque(maxlen=1000)
"""What could not be deleted for want of descriptors or memory: tried again with the next folder."""


def sandbox_folder(run_dir: Path, sandbox_id: str) -> Path:
    """Where a sandbox keeps its channel's socket and its writable folder."""
    return run_dir / f"{_PREFIX}{sandbox_id}"


def sweep_sandboxes(run_dir: Path) -> int:
    """Remove the folders of sandboxes whose worker is dead, and the processes in them; how many."""
    folders = [entry for entry in run_dir.iterdir() if entry.name.startswith(_PREFIX)]
    for folder in folders:
        remove_sandbox_folder(folder)
    return len(folders)


def open_to(uid: int, *paths: Path) -> None:
    """Let the group of that uid, which nobody else has, into a folder or connect to a socket. Raises
    OSError."""
    for path in paths:
        os.chown(path, -1, uid)
        path.chmod(0o770 if path.is_socket() else 0o750)


def remove_sandbox_folder(folder: Path) -> None:
    """Kill the processes that still have their working directory in `folder`, then delete it.

    The group of the sandbox is dead by now; this reaches children that left it, as a detached child
    of Node does. Idempotent. What cannot be deleted is logged; for want of descriptors, it is
    tried again with the next folder.
    """
    _remove(folder)
    for _ in range(len(_left)):
        with contextlib.suppress(IndexError):  # another thread has it
            _remove(_left.popleft())


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _KILL_WAIT_S
    while kill_processes_in(folder) and time.monotonic() < deadline:
        time.sleep(_KILL_PAUSE_S)
    try:
        _delete(folder)
    except (OSError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno in _PASSING:
            _left.append(folder)
        _log.warning("sandbox_folder_not_removed", folder=str(folder), reason=str(error))


def kill_processes_in(folder: Path) -> int:
    """Kill every process whose working directory is `folder` or below it (Linux; elsewhere none).

    Returns how many. Never the caller itself.
    """
    inside = os.fspath(folder)
    killed = 0
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            directory = str((entry / "cwd").readlink())
        except OSError:  # gone, or somebody else's
            continue
        # A deleted directory has " (deleted)" behind its name, which the second test covers.
        if directory == inside or directory.startswith((f"{inside}/", f"{inside} ")):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except PermissionError:
        # A function took rights from its own folders; they are still ours to give back.
        folder.chmod(stat.S_IRWXU)
        for parent, directories, _ in os.walk(folder):
            for directory in map(Path(parent).joinpath, directories):
                if not directory.is_symlink():
                    directory.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)
