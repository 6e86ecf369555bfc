"""The data directory: its owner, its key files, and where a running program tells how to reach it.

lock               held by the running program; a second one is refused
master.key         seals every stored secret (development; production names its own file)
access-key.json    the management key, for the command line on this machine
running.json       endpoint and process id, present while the program serves
documents/         the embedded document databases
files/             the local file store
code/              unpacked deployments
views/             the code of each live sandbox, as hard links
spool/             uploads under way
job-spool/         arguments and results of jobs on their way into the file store
tls/               the local authority and the gateway's own certificate
package.json       empty, see `own`

`yunhan gateway` and `yunhan worker` use the folders `gateway` and `worker` below it, each with the same
content as far as it needs it: all three programs may be started with the same YUNHAN_DATA_DIR.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from runtime.sealing import read_master_key, read_or_make_master_key, write_private_file

if TYPE_CHECKING:  # the command line reads these files without loading the settings
    from runtime.settings import Settings


GATEWAY_FOLDER = "gateway"
WORKER_FOLDER = "worker"
"""Below YUNHAN_DATA_DIR: the directories of the programs that are only one of the two."""


class DataDirError(Exception):
    """The data directory cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A management key pair (management API §1)."""

    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How to reach the program that owns a data directory."""

    endpoint: str
    """Empty: a worker, which takes no requests."""
    pid: int


class DataDir:
    """Paths and small files below one data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.documents = self.root / "documents"
        self.files = self.root / "files"
        self.code = self.root / "code"
        self.views = self.root / "views"
        self.tls = self.root / "tls"
        self._spool = self.root / "spool"
        self._job_spool = self.root / "job-spool"
        self._access_key = self.root / "access-key.json"
        self._running = self.root / "running.json"

    def reached_by_command_line(self) -> DataDir:
        """Where a command finds the program to speak to: here, else the gateway's directory below."""
        gateway = DataDir(self.root / GATEWAY_FOLDER)
        here = self._running.exists() or not gateway._access_key.exists()
        return self if here else gateway

    def lone_worker(self) -> Running | None:
        """The worker that runs on this directory, when no program here says that it takes requests."""
        here = self.read_running()
        if here is not None:
            return None if here.endpoint else here
        if DataDir(self.root / GATEWAY_FOLDER).read_running() is not None:
            return None
        return DataDir(self.root / WORKER_FOLDER).read_running()

    @property
    def run(self) -> Path:
        """Sockets and working folders of sandboxes. In the temporary directory, because a unix socket's
        path may have 107 bytes only; the same for every start of the same data directory."""
        name = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"yunhan-{os.getuid()}-{name}"

    def empty_spool(self) -> Path:
        """The folder for uploads under way, made new; only the owner of the directory calls this."""
        return _empty(self._spool)

    def empty_job_spool(self) -> Path:
        """The same for arguments and results of jobs."""
        return _empty(self._job_spool)

    @contextmanager
    def own(self) -> Iterator[None]:
        """Be the one program of this directory. Raises DataDirError when another one runs."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirError(
                f"{self.root} cannot be used: {error.strerror}; set YUNHAN_DATA_DIR"
            ) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running = self.read_running()
                where = (
                    f" (process {running.pid}, {running.endpoint or 'worker'})" if running else ""
                )
                raise DataDirError(
                    f"another program uses {self.root}{where};"
                    " stop it or set another YUNHAN_DATA_DIR"
                ) from None
            self._running.unlink(missing_ok=True)  # left by a program that was killed
            # Node looks upwards for a package.json: whatever project surrounds this directory, its
            # module type must not become that of functions without a package.json of their own.
            (self.root / "package.json").write_text("{}\n")
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def announce(self, endpoint: str) -> Iterator[None]:
        """Write how to reach us, for as long as we serve."""
        content = {"endpoint": endpoint, "pid": os.getpid()}
        write_private_file(self._running, orjson.dumps(content) + b"\n")
        try:
            yield
        finally:
            self._running.unlink(missing_ok=True)

    def read_running(self) -> Running | None:
        """How to reach the running program; None when none says so."""
        try:
            content = orjson.loads(self._running.read_bytes())
            return Running(endpoint=content["endpoint"], pid=content["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def read_access_key(self) -> AccessKey | None:
        """The generated management key; None before the first start."""
        try:
            content = orjson.loads(self._access_key.read_bytes())
            return AccessKey(key_id=content["accessKeyId"], secret=content["accessKeySecret"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_access_key(self, key: AccessKey) -> None:
        """For the command line on this machine."""
        content = {"accessKeyId": key.key_id, "accessKeySecret": key.secret}
        write_private_file(self._access_key, orjson.dumps(content) + b"\n")

    def master_key(self, settings: Settings) -> bytes:
        """Raises MasterKeyError, or SettingsError in production without YUNHAN_MASTER_KEY_FILE."""
        if settings.master_key_file is not None:
            return read_master_key(settings.master_key_file)
        if settings.production:
            raise _settings_error(
                "YUNHAN_ENV=production needs YUNHAN_MASTER_KEY_FILE;"
                " make one: head -c 32 /dev/urandom | base64 > master.key"
            )
        return read_or_make_master_key(self.root / "master.key")


def _settings_error(text: str) -> Exception:
    from runtime.settings import SettingsError  # noqa: PLC0415 - see the imports above

    return SettingsError(text)


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder
