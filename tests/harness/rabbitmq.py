"""A RabbitMQ of our own: started, stopped, killed and frozen by tests, benchmarks and chaos.

Each broker has its own node name, folder and ports, so that several run side by side.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

from tests.harness.program import free_port

START_TIMEOUT_S = 90.0

_BIN_DIRS = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"))
"""Where packages put the server script itself. What they put into PATH changes the user first."""


def server_dir() -> Path | None:
    """The folder of RabbitMQ's scripts; None when it is not installed."""
    named = os.environ.get("YUNHAN_TEST_RABBITMQ_DIR")
    for folder in (Path(named),) if named else _BIN_DIRS:
        if (folder / "rabbitmq-server").exists() and shutil.which("erl"):
            return folder
    return None


def missing_reason() -> str:
    """Why there can be no broker; empty when there can be one."""
    return "" if server_dir() else "no RabbitMQ: apt-get install rabbitmq-server"


class RabbitMq:
    """One broker with one user `guest`. `folder` is made; it holds everything that the broker keeps."""

    def __init__(self, folder: Path, *, config: str = "") -> None:
        scripts = server_dir()
        if scripts is None:
            raise AssertionError(missing_reason())
        self.scripts = scripts
        self.folder = folder
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.log_path = folder / "broker.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._config = config
        folder.mkdir(parents=True, exist_ok=True)
        self._write_files()
        self.environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"yunhan-{uuid.uuid4().hex[:12]}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def start(self) -> RabbitMq:
        """Start and wait until it takes connections. Raises AssertionError with the log when it does not."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.scripts / "rabbitmq-server")],
                env=self.environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"RabbitMQ ended with {self.process.returncode}\n{self.log()}")
            if self._answers():
                return self
            time.sleep(0.05)  # polling another process: there is nothing to wait on
        self.kill()
        raise AssertionError(f"RabbitMQ was not ready in {START_TIMEOUT_S} s\n{self.log()}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left. Idempotent."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        self._end_group()

    def kill(self) -> None:
        """SIGKILL, like a power cut for the broker."""
        self._end_group()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self._signal_group(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_group(signal.SIGCONT)

    def restart(self) -> RabbitMq:
        """Kill it and start it again on the same data and port."""
        self.kill()
        return self.start()

    def control(self, *arguments: str, timeout_s: float = 60) -> str:
        """`rabbitmqctl ...`; what it printed. Takes a second or two."""
        return self._script("rabbitmqctl", arguments, timeout_s)

    def alarm(self, *, on: bool) -> None:
        """The memory alarm: publishers are blocked while it is on."""
        self.control("set_vm_memory_high_watermark", "0" if on else "0.6")

    def log(self) -> str:
        """The last part of what the broker wrote."""
        return self.log_path.read_text(errors="replace")[-8000:] if self.log_path.exists() else ""

    def _write_files(self) -> None:
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            "vm_memory_high_watermark.relative = 0.6\n"
            "disk_free_limit.absolute = 1MB\n"
            "log.console = true\nlog.file = false\n"
            f"{self._config}\n"
        )

    def _answers(self) -> bool:
        """Whether it speaks AMQP: the listener alone may be up before the broker is."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return probe.recv(1) == b"\x01"
        except OSError:
            return False

    def _script(self, name: str, arguments: tuple[str, ...], timeout_s: float) -> str:
        done = subprocess.run(
            [str(self.scripts / name), "--quiet", *arguments],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{name} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def _signal_group(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def _end_group(self) -> None:
        """The server script may be a shell with the Erlang machine and its helpers below it."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
