"""A child process of the worker as a `ProcessHandle`: group, output, exit, files.

For every rung whose sandbox is a process on this machine. Started by `subprocess.Popen` rather
than by the event loop: that is a vfork of a fraction of a millisecond, while a `preexec_fn`, or
uvloop's own spawning, forks the whole worker and stops its loop for several. Its end is seen
through a pidfd, so nothing depends on the loop's way of watching children.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.api import SandboxError
from sandbox.folders import remove_sandbox_folder
from sandbox.handle import OUTPUT_TAIL_BYTES, Exit, ProcessHandle
from sandbox.orphan_guard import OrphanGuard
from sandbox.process_tree import ProcessTree

_READ_BYTES = 64 * 1024
# After the end of the process its pipe holds at most this much; a survivor could write on for ever.
_LAST_READS = 16


class LocalProcess(ProcessHandle):
    """One child process, leader of its own session and process group. Made by `start`."""

    def __init__(
        self, popen: subprocess.Popen[bytes], output: int, folder: Path, guard: OrphanGuard
    ) -> None:
        self._popen = popen
        self._output: int | None = output
        self._folder = folder
        self._guard = guard
        self._tail = bytearray()
        self._tree = ProcessTree(popen.pid, walled=False)
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[Exit] = self._loop.create_future()
        self._loop.add_reader(output, self._read_output)
        self._watch()

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        working_dir: Path,
        folder: Path,
        guard: OrphanGuard,
        pass_fds: Sequence[int] = (),
    ) -> LocalProcess:
        """Start a process that sees no stdin, no environment but this one, no file but `pass_fds`.

        `folder` is removed by `remove`; `guard` kills the group should this worker die first.
        Raises SandboxError. Must be called on the event loop, which it holds up for about 0.3 ms.
        """
        read_end, write_end = os.pipe()
        try:
            os.set_blocking(read_end, False)
            popen = subprocess.Popen(  # noqa: S603 - a rung's own command, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env=environment,
                cwd=working_dir,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except OSError as error:
            os.close(read_end)
            raise SandboxError(f"{command[0]} does not start: {error}.") from error
        finally:
            os.close(write_end)
        _forbid_core_dumps(popen.pid)
        process = cls(popen, read_end, folder, guard)
        try:
            guard.add(popen.pid)
        except BaseException:
            process.kill()
            raise
        return process

    @property
    def pid(self) -> int:
        """Of the process and of its group."""
        return self._popen.pid

    async def show_code(self, code_dir: Path) -> str:
        """Nothing to do: without walls every path is visible."""
        return str(code_dir)

    def admit_socket(self, path: Path) -> None:
        """Nothing to do: it is the same user."""

    def pause(self) -> bool:
        if self._exited.done():
            return False
        self._signal_group(signal.SIGSTOP)
        return self._tree.stop()  # also children that left the group

    def resume(self) -> None:
        if not self._exited.done():
            self._signal_group(signal.SIGCONT)
            self._tree.resume()

    def kill(self) -> None:
        if not self._exited.done():
            self._kill_group()

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exited)

    async def remove(self) -> None:
        await asyncio.to_thread(remove_sandbox_folder, self._folder)

    # --- end ------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # an old kernel, or one that hides pidfds
                pidfd = os.pidfd_open(self.pid)
                self._loop.add_reader(pidfd, self._on_pidfd, pidfd)
                return
        threading.Thread(
            target=self._watch_in_thread, name=f"exit of process {self.pid}", daemon=True
        ).start()

    def _on_pidfd(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._on_exit()

    def _watch_in_thread(self) -> None:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._on_exit)

    def _on_exit(self) -> None:
        # Before the process is reaped: until then nobody else can get the number of its group.
        self._kill_group()
        code = self._popen.wait()
        self._guard.discard(self.pid)
        for _ in range(_LAST_READS):
            if not self._read_output():
                break
        self._close_output()
        output = bytes(self._tail)
        if code < 0:
            self._exited.set_result(Exit(signal=-code, output=output))
        else:
            self._exited.set_result(Exit(code=code, output=output))

    def _kill_group(self) -> None:
        self._signal_group(signal.SIGKILL)
        self._tree.kill_stopped()

    def _signal_group(self, number: signal.Signals) -> None:
        # Gone already; macOS says "not permitted" for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    # --- output ---------------------------------------------------------------------------------

    def _read_output(self) -> bool:
        """Keep the end of what the process writes. False when there is nothing more for now."""
        if self._output is None:
            return False
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close_output()
            return False
        self._tail += data
        del self._tail[:-OUTPUT_TAIL_BYTES]
        return True

    def _close_output(self) -> None:
        if self._output is not None:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = None


def _forbid_core_dumps(pid: int) -> None:
    """An abort would otherwise write the whole memory to disk before it ends."""
    if sys.platform == "linux":
        # Gone, or another user already: launchers that change it forbid core dumps themselves.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
