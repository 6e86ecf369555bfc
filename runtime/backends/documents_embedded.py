"""The embedded document database: one supervised child process that speaks MongoDB's protocol.

    folder/            mode 0700
      lock             held by the program and, through it, by its server
      password         see `embedded.login`
      server.toml      empty: keeps the server from reading somebody else's settings
      server.log       its output, bounded
      data/            its database

The server is restarted on the same port when it dies, so a client of `url` goes on after about half a
second; nothing that was acknowledged is lost (`--sync-on-commit`). One that no longer serves is killed
(`embedded.watch`), which is a death like others.

When the server cannot be started, `wait_failed` raises, which ends the program. Only starts count that
fail before the server listens (a full disk, a damaged file, a missing library). What happens to a server
that has listened, commands of any space may have done to it: were such deaths counted, a few bombs would
end the program for all spaces. They only lengthen the pause before the next start.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import structlog

from runtime.backends.embedded.child import (
    EmbeddedChild,
    EmbeddedDocumentsError,
    PortTakenError,
    find_server,
)
from runtime.backends.embedded.lock import hold_lock
from runtime.backends.embedded.log import EmbeddedLog
from runtime.backends.embedded.login import EmbeddedLogin, LoginRefusedError
from runtime.backends.embedded.watch import EmbeddedBounds, wait_lost
from runtime.tasks import end_tasks

_log = structlog.get_logger(__name__)

_PORTS = range(20_000, 32_000)
"""Below the ranges from which systems take ports for outgoing connections, so that no such connection
sits on our port while the server restarts."""
_PORT_TRIES = 20
_START_TRIES = 5
_BACKOFF_FIRST_S = 0.1
_BACKOFF_LONGEST_S = 5.0
_STABLE_S = 60.0
"""A server that ran so long was healthy: after its next death there is no pause."""


class EmbeddedDocuments:
    """An async context manager: inside it the server runs and `url` reaches it.

    `name` is for logs and messages. `bounds` say when a server is lost; `cache_size` bounds its cache;
    `start_timeout_s` and `stop_grace_s` one start and one stop; `lock_timeout_s` the wait for a former
    program's server to be gone; `restarts_max` the failed starts in a row. `command` replaces the
    installed server (tests).

    Entering raises EmbeddedDocumentsError. Await `wait_failed` for as long as it is used.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        bounds: EmbeddedBounds | None = None,
        cache_size: str = "256M",
        start_timeout_s: float = 30.0,
        stop_grace_s: float = 5.0,
        lock_timeout_s: float = 5.0,
        restarts_max: int = 8,
        command: Sequence[str] | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._name = name
        self._bounds = bounds or EmbeddedBounds()
        self._cache_size = cache_size
        self._start_timeout_s = start_timeout_s
        self._stop_grace_s = stop_grace_s
        self._lock_timeout_s = lock_timeout_s
        self._restarts_max = restarts_max
        self._command = command
        self._login = EmbeddedLogin(self._folder / "password")
        self._output = EmbeddedLog(self._folder / "server.log")
        self._lock = -1
        self._child: EmbeddedChild | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        return f"EmbeddedDocuments({self._name!r}, {str(self._folder)!r})"

    @property
    def url(self) -> str:
        """`mongodb://` URL with user and password: never log it. The same for the whole context."""
        return self._login.url(self._running.port)

    @property
    def pid(self) -> int:
        """Process id of the server that runs now."""
        return self._running.pid

    async def wait_failed(self) -> NoReturn:
        """Wait until the server cannot be kept running, then raise EmbeddedDocumentsError.

        Waits forever when all goes well. Cancelling the wait changes nothing."""
        if self._supervisor is None:
            raise RuntimeError("the embedded document server was not started: use `async with`")
        await asyncio.wait({self._supervisor})
        if self._supervisor.cancelled():  # stopped in good order
            await asyncio.get_running_loop().create_future()
        self._supervisor.result()
        raise RuntimeError("the supervision of the embedded document server ended by itself")

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._prepare_folder()
            self._lock = await stack.enter_async_context(
                hold_lock(self._folder / "lock", timeout_s=self._lock_timeout_s)
            )
            stack.push_async_callback(self._stop_child)
            if self._login.load():
                await self._start_on_free_port(auth=True)
            else:
                await self._first_start()
            self._supervisor = asyncio.create_task(
                self._supervise(), name=f"supervise document server {self._name}"
            )
            self._stack = stack.pop_all()
        _log.info("documents_started", name=self._name, pid=self.pid, port=self._running.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async with self._stack:  # stops the server and frees the lock, whatever happens here
            if self._supervisor is not None:
                await end_tasks([self._supervisor])
                if not self._supervisor.cancelled():
                    self._supervisor.exception()  # it was logged when it happened

    def _prepare_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.chmod(0o700)  # the server's own files are readable by all
            (self._folder / "server.toml").write_text(
                "# Empty on purpose: the server gets all its settings from its command line.\n"
            )
        except OSError as error:
            raise EmbeddedDocumentsError(
                f"{self._folder} cannot be used: {error.strerror}; set YUNHAN_DATA_DIR"
            ) from error

    async def _first_start(self) -> None:
        """Users can be made only while the server asks for no password (see `embedded.login`)."""
        await self._start_on_free_port(auth=False)
        await self._login.make(self._running.port)
        await self._stop_child()
        await self._start_on_free_port(auth=True)
        await self._login.confirm(self._running.port)

    async def _start_on_free_port(self, *, auth: bool) -> None:
        for attempt in range(1, _START_TRIES + 1):
            try:
                return await self._start(_free_port(), auth=auth)
            except PortTakenError:  # between our look and the server's bind
                if attempt == _START_TRIES:
                    raise
        return None

    async def _start(self, port: int, *, auth: bool) -> None:
        """Start the server and wait until it answers; on failure nothing is left running."""
        self._output.begin()
        self._child = await EmbeddedChild.start(
            self._arguments(port, auth=auth),
            port=port,
            folder=self._folder,
            log=self._output,
            lock=self._lock,
            memory_max_bytes=self._bounds.memory_max_bytes,
        )
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._wait_ready(self._child, auth=auth)
        except TimeoutError:
            await self._child.kill()
            raise EmbeddedDocumentsError(
                f"the embedded document server {self._name} was not ready after"
                f" {self._start_timeout_s:.0f} s; see {self._folder / 'server.log'}"
            ) from None
        except BaseException:
            await self._child.kill()
            raise

    def _arguments(self, port: int, *, auth: bool) -> Sequence[str]:
        return [
            *(self._command or find_server()),
            *("--config", str(self._folder / "server.toml")),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--storage-path", str(self._folder / "data")),
            *("--log-level", "INFO"),
            *("--cache-size", self._cache_size),
            *("--oplog-max-entries", "10000"),  # nobody reads it; the default costs memory and disk
            "--sync-on-commit",  # without it kill -9 loses acknowledged writes
            *(["--auth"] if auth else []),
        ]

    async def _wait_ready(self, child: EmbeddedChild, *, auth: bool) -> None:
        if await child.wait_listening():
            if not auth:
                return None
            ping = asyncio.ensure_future(
                self._login.ping(child.port, timeout_s=self._start_timeout_s)
            )
            ended = asyncio.ensure_future(child.wait_ended())
            try:
                await asyncio.wait({ping, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    return await ping
            finally:
                ping.cancel()
                ended.cancel()
        if "address already in use" in child.last_words.lower():
            raise PortTakenError(
                f"port {child.port}, of the embedded document server {self._name}, was taken by"
                " another program"
            )
        raise EmbeddedDocumentsError(
            f"the embedded document server {self._name} ended at its start"
            f" ({_how(child)}): {child.last_words[-500:]}; see {self._folder / 'server.log'}"
        )

    async def _supervise(self) -> None:
        """Restart the server whenever it dies. Raises EmbeddedDocumentsError when that does not help."""
        now = asyncio.get_running_loop().time
        deaths = 0
        while True:
            started = now()
            child = self._running
            await self._end_of(child)
            deaths = 0 if now() - started >= _STABLE_S else deaths
            deaths = await self._restart(child.port, deaths)
            _log.info("documents_restarted", name=self._name, pid=self.pid)

    async def _end_of(self, child: EmbeddedChild) -> None:
        """Wait until the server has died, or see that it is lost and kill it."""
        ended = asyncio.create_task(child.wait_ended())
        lost = asyncio.create_task(wait_lost(child.port, self._bounds))
        try:
            await asyncio.wait({ended, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                _log.warning("documents_killed", name=self._name, pid=child.pid, why=lost.result())
                await child.kill()
        finally:
            await end_tasks([ended, lost])
        _log.warning(
            "documents_died",
            name=self._name,
            pid=child.pid,
            how=_how(child),
            last_words=child.last_words[-500:],
        )

    async def _restart(self, port: int, deaths: int) -> int:
        """Start the server again on its port. Returns how often it has died in a row, failed starts
        included."""
        failed_starts = 0
        while True:
            if deaths:
                await asyncio.sleep(
                    min(_BACKOFF_FIRST_S * 2 ** min(deaths - 1, 10), _BACKOFF_LONGEST_S)
                )
            deaths += 1
            try:
                await self._start(port, auth=True)
            except EmbeddedDocumentsError as error:
                if self._running.listened and not isinstance(error, LoginRefusedError):
                    failed_starts = 0
                    continue
                failed_starts += 1
                if failed_starts < self._restarts_max:
                    continue
                _log.error("documents_failed", name=self._name, reason=str(error))
                raise EmbeddedDocumentsError(
                    f"the embedded document server {self._name} cannot be kept running, its start"
                    f" failed {failed_starts} times in a row: {error}"
                ) from error
            else:
                return deaths

    async def _stop_child(self) -> None:
        if self._child is not None:
            await self._child.stop(self._stop_grace_s)

    @property
    def _running(self) -> EmbeddedChild:
        if self._child is None:
            raise RuntimeError("the embedded document server was not started: use `async with`")
        return self._child


def _how(child: EmbeddedChild) -> str:
    code = child.returncode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _free_port() -> int:
    for _ in range(_PORT_TRIES):
        port = random.choice(_PORTS)  # noqa: S311 - not a secret
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EmbeddedDocumentsError(
        f"no free port found between {_PORTS.start} and {_PORTS.stop - 1} for the document server"
    )
