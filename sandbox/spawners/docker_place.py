"""What one container has on this machine: its name, its socket's folder and its view of the code."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from sandbox.api import SandboxError
from sandbox.channel import ChannelListener, check_channel_path
from sandbox.code_view import remove_view
from sandbox.folders import remove_sandbox_folder, sandbox_folder
from sandbox.spawners.docker_options import CHANNEL, HOSTS

# From outside only the run directory's owner gets here; inside it is another user who connects.
_FOLDER_MODE = 0o755
SOCKET_MODE = 0o666
_FILE_MODE = 0o444
_HOSTS_TEXT = "127.0.0.1 localhost\n::1 localhost\n"
_USUAL_ID_LENGTH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Unique for every container, also where sandboxes bear one id in turn."""

    name: str
    folder: Path
    view: Path

    @classmethod
    def choose(cls, sandbox_id: str, owner: str, run_dir: Path, views_dir: Path) -> Place:
        key = f"{sandbox_id}-{secrets.token_hex(4)}"
        folder = sandbox_folder(run_dir, key)
        return cls(name=f"yunhan-{owner}-{key}", folder=folder, view=views_dir / folder.name)

    def make(self) -> ChannelListener:
        """Make the folders and listen. Blocking; raises SandboxError, then call `remove`."""
        try:
            self.folder.mkdir(mode=0o700)
            self.folder.chmod(_FOLDER_MODE)
            (self.folder / HOSTS).write_text(_HOSTS_TEXT)
            (self.folder / HOSTS).chmod(_FILE_MODE)
            self.view.mkdir(mode=0o700)
            self.view.chmod(_FOLDER_MODE)
        except OSError as error:
            raise SandboxError(
                f"the folder {error.filename} cannot be made: {error.strerror}."
            ) from error
        listener = ChannelListener(self.folder / CHANNEL)
        (self.folder / CHANNEL).chmod(SOCKET_MODE)
        return listener

    def remove(self) -> None:
        """Blocking. Idempotent."""
        remove_view(self.view)
        remove_sandbox_folder(self.folder)


def check_run_dir(run_dir: Path) -> None:
    """Raises SandboxError when sockets in it would have too long a path."""
    usual = Place.choose("x" * _USUAL_ID_LENGTH, "", run_dir, run_dir)
    check_channel_path(usual.folder / CHANNEL)


def own_dir(path: Path) -> Path:
    """The directory, made if it is missing, without links in its path. Blocking.

    Raises SandboxError when it belongs to somebody else: its path may be guessed and its parent open
    to all, and whoever owned it would get our sockets.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise SandboxError(
                f"{path} is not a directory of this user.",
                what_next="Remove it, or set TMPDIR to a directory that only this user can write.",
            )
        path.chmod(0o700)
        return path.resolve(strict=True)
    except OSError as error:
        raise SandboxError(
            f"the directory {path} is not usable: {error.strerror}.",
            what_next="It must be a directory that this user can write.",
        ) from error
