"""A Redis of our own on loopback: started, killed and frozen by tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.harness.polling import poll
from tests.harness.program import free_port

START_TIMEOUT_S = 30.0


def missing_reason() -> str:
    """Why there can be no Redis; empty when there can be one."""
    return "" if shutil.which("redis-server") else "no Redis: apt-get install redis-server"


class RedisServer:
    """One server without persistence. `folder` is made; `password` is the default user's."""

    def __init__(self, folder: Path, *, password: str = "", options: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.log_path = folder / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._folder = folder
        self._config = folder / "redis.conf"
        self._password = password
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            'save ""',
            "appendonly no",
            "daemonize no",
            f"dir {folder}",
            *([f"requirepass {password}"] if password else []),
            *options,
        ]
        self._config.write_text("\n".join(lines) + "\n")

    def start(self) -> RedisServer:
        """Start and wait until it answers. Raises AssertionError with its log when it does not."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", str(self._config)],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            poll(self._answers, START_TIMEOUT_S, told=self.log)
        except BaseException:
            self.kill()
            raise
        return self

    def kill(self) -> None:
        """SIGKILL. Idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def command(self, *arguments: str) -> str:
        """`redis-cli ...`; what it printed."""
        done = subprocess.run(
            ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                **({"REDISCLI_AUTH": self._password} if self._password else {}),
            },
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout.strip()

    def log(self) -> str:
        """The last part of what the server wrote."""
        return self.log_path.read_text(errors="replace")[-4000:] if self.log_path.exists() else ""

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"redis-server ended with {self.process.returncode}\n{self.log()}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(1) in {b"+", b"-"}
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
