"""A Docker engine of the chaos run's own: killed and started again without anybody else noticing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

_START_S = 60.0
_ANSWER_S = 20.0
_EMPTY_S = 2.0
_SHIM = "containerd-shim"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_ANSWER_S)
        self.sock.connect(str(self._path))


class Engine:
    """A dockerd with everything it has below `root`, its containers' groups below `cgroup`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cgroup = f"yunhan-chaos-{os.getpid()}"
        self.socket = root / "docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Engine:
        """Start and wait until it answers."""
        self._process = subprocess.Popen(
            [
                "dockerd",
                f"--data-root={self.root}/data",
                f"--exec-root={self.root}/exec",
                f"--host=unix://{self.socket}",
                f"--pidfile={self.root}/pid",
                f"--cgroup-parent=/{self.cgroup}",
                "--bridge=none",
                "--iptables=false",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"dockerd did not start ({self._process.returncode})")
            time.sleep(0.05)  # polling another process: there is nothing to wait on
        return self

    def kill(self) -> None:
        """SIGKILL. Its containers live on until the next start."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        # Its containerd dies with it; where nobody reaps it, the next dockerd would wait for it.
        (self.root / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End the engine and what it leaves on the machine. Idempotent."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)
        # Of a run that failed, and what a killed engine forgot about: an unstarted `runc init`.
        for pid in (*self.shims(), *self._grouped()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for _ in range(50):  # a killed engine leaves mounts; unmounting one may uncover another
            mounts = [line.split()[4] for line in _mount_lines() if f" {self.root}/" in line]
            if not mounts:
                break
            for mount in reversed(mounts):
                subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
        for folder in sorted(self._cgroup_folders(), reverse=True):
            deadline = time.monotonic() + _EMPTY_S
            while folder.exists() and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        shutil.rmtree(self.root, ignore_errors=True)

    def containers(self) -> list[str]:
        """Name and state of every container."""
        found = self._ask("/containers/json?all=1")
        return sorted(f"{item['Names'][0]} {item['State']}" for item in found)

    def cgroup_folders(self) -> list[Path]:
        """Its containers' groups in each hierarchy, and what is below them."""
        return [path for path in self._cgroup_folders() if path.name != self.cgroup]

    def _grouped(self) -> set[int]:
        """The processes in its containers' groups."""
        found: set[int] = set()
        for folder in self._cgroup_folders():
            with contextlib.suppress(OSError):
                found |= set(map(int, (folder / "cgroup.procs").read_text().split()))
        return found

    def _cgroup_folders(self) -> list[Path]:
        # `walk` does not mind groups of others that go meanwhile
        walk = os.walk("/sys/fs/cgroup")
        return [Path(folder) for folder, _, _ in walk if f"/{self.cgroup}" in folder]

    def shims(self) -> list[int]:
        """The parents of its containers' first processes; they outlive a killed engine."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().decode(errors="replace")
                if _SHIM in command and f"{self.root}/" in command:
                    found.append(int(process.name))
        return found

    def _answers(self) -> bool:
        try:
            self._ask("/info")
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return True

    def _ask(self, path: str) -> Any:
        connection = _UnixConnection(self.socket)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status != 200:
                raise OSError(f"{path}: {answer.status} {body}")
            return body
        finally:
            connection.close()


def _mount_lines() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()
