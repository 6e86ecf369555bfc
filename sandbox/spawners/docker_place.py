"""What one container has on this machine: its uid, its socket's folder and its view of the code."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from sandbox.api import SandboxError
from sandbox.channel import ChannelListener, check_channel_path
from sandbox.code_view import remove_view
from sandbox.folders import open_to, remove_sandbox_folder, sandbox_folder
from sandbox.spawners.docker_options import CHANNEL, HOSTS, PASSWD
from sandbox.spawners.docker_uids import container_name

_FOLDER_MODE = 0o755
_SOCKET_MODE = 0o666
_FILE_MODE = 0o444
_HOSTS_TEXT = "127.0.0.1 localhost\n::1 localhost\n"
_USUAL_ID_LENGTH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Unique for every container, also where sandboxes bear one id in turn."""

    uid: int
    folder: Path
    view: Path
    uid_is_real: bool = True
    """Whether the engine's uids are this machine's."""

    @classmethod
    def choose(
        cls, sandbox_id: str, uid: int, run_dir: Path, views_dir: Path, *, uid_is_real: bool = True
    ) -> Place:
        key = f"{sandbox_id}-{secrets.token_hex(4)}"
        folder = sandbox_folder(run_dir, key)
        return cls(uid=uid, folder=folder, view=views_dir / folder.name, uid_is_real=uid_is_real)

    @property
    def name(self) -> str:
        """The container's."""
        return container_name(self.uid)

    def make(self) -> ChannelListener:
        """Make the folders and listen. Blocking; raises SandboxError, then call `remove`."""
        try:
            self.folder.mkdir(mode=0o700)
            self._write(HOSTS, _HOSTS_TEXT)
            # Without an entry `os.userInfo()` throws.
            self._write(PASSWD, f"function:x:{self.uid}:{self.uid}::/tmp:/bin/false\n")
            self.view.mkdir(mode=0o700)
            self.admit(self.folder, self.view)
        except OSError as error:
            raise SandboxError(
                f"the folder {error.filename} cannot be made: {error.strerror}."
            ) from error
        listener = ChannelListener(self.folder / CHANNEL)
        try:
            self.admit(self.folder / CHANNEL)
        except OSError as error:
            listener.close()
            raise SandboxError(
                f"the socket {self.folder / CHANNEL} cannot be opened: {error.strerror}."
            ) from error
        return listener

    def admit(self, *paths: Path) -> None:
        """Let the container's uid into a folder or connect to a socket. Raises OSError.

        That uid alone, where this worker may give files away (root). Elsewhere the modes are open and the
        walls are others: from outside only the run directory's owner gets here, and a container
        has its own folder mounted and no other's.
        """
        if self.uid_is_real:
            with contextlib.suppress(PermissionError):
                open_to(self.uid, *paths)
                return
        for path in paths:
            path.chmod(_SOCKET_MODE if path.is_socket() else _FOLDER_MODE)

    def _write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.write_text(text)
        file.chmod(_FILE_MODE)

    def remove(self) -> None:
        """Blocking. Idempotent."""
        remove_view(self.view)
        remove_sandbox_folder(self.folder)


def check_run_dir(run_dir: Path) -> None:
    """Raises SandboxError when sockets in it would have too long a path."""
    usual = Place.choose("x" * _USUAL_ID_LENGTH, 1, run_dir, run_dir)
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
