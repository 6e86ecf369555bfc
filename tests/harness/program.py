"""A program under test, as child processes: started, asked, stopped or killed.

`Program(...)` is `yunhan up`. With YUNHAN_TEST_FORM=distributed it is `yunhan gateway` and `yunhan worker`
over RabbitMQ, one document database and a shared folder (`tests.harness.distributed`): tests see no
difference.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from runtime.data_dir import AccessKey, DataDir
from sandbox.node_runtimes import find_node_runtimes

START_TIMEOUT_S = 60.0


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def default_node() -> Path:
    """The newest Node.js that functions run on."""
    return max(asyncio.run(find_node_runtimes("")).items())[1].path


class Process:
    """One `yunhan` command that serves, and what it printed."""

    def __init__(
        self, command: str, environ: dict[str, str], *, address: str, log_path: Path
    ) -> None:
        self.command = command
        self.environ = environ
        self.address = address
        """Where it answers /readyz and /metrics."""
        self.log_path = log_path
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it, without waiting."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime.cli.main", self.command],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self) -> None:
        """Raises AssertionError with the log when it does not get ready."""
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"yunhan {self.command} ended with {self.process.returncode}\n{self.log()}"
                )
            if self.ready():
                return
            time.sleep(0.02)  # polling another process: there is nothing to wait on
        raise AssertionError(
            f"yunhan {self.command} was not ready in {START_TIMEOUT_S} s\n{self.log()}"
        )

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def end(self, number: signal.Signals) -> int:
        """Send a signal; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self) -> dict[str, float]:
        """`/metrics` as numbers by name."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (line.split() for line in lines)}

    def log(self) -> str:
        """The last part of what it printed."""
        return self.log_path.read_text(errors="replace")[-8000:] if self.log_path.exists() else ""


class Program:
    """One data directory and at most one program on it."""

    def __new__(cls, data_dir: Path, **_settings: str) -> Program:  # noqa: PYI034 - a subclass's
        if cls is Program and os.environ.get("YUNHAN_TEST_FORM") == "distributed":
            from tests.harness.distributed import DistributedProgram

            return super().__new__(DistributedProgram)
        return super().__new__(cls)

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.tls_port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log_path = data_dir.parent / f"{data_dir.name}.log"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("YUNHAN_")},
            "YUNHAN_DATA_DIR": str(data_dir),
            "YUNHAN_HTTP": f"127.0.0.1:{self.port}",
            "YUNHAN_HTTPS": f"127.0.0.1:{self.tls_port}",
            "YUNHAN_LOG_FORMAT": "json",
            **settings,
        }
        self.main = Process(
            self.command, self.environ, address=self.endpoint, log_path=self.log_path
        )

    command = "up"

    def peak_rss_mb(self) -> float:
        """Highest resident memory so far of the process that serves clients."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024

    @property
    def ca_path(self) -> Path:
        """The local authority behind its HTTPS, from its first start on."""
        return self.data_dir / "tls" / "ca.pem"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The one that serves clients."""
        return self.main.process

    def start(self) -> Program:
        """Start and wait until it is ready. Raises AssertionError with the log when it is not."""
        self.main.start()
        return self

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self.main.end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL, like a power cut for this process."""
        return self.main.end(signal.SIGKILL)

    def cli(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the command line against this program."""
        return subprocess.run(
            [sys.executable, "-m", "runtime.cli.main", *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def access_key(self) -> AccessKey:
        key = DataDir(self.data_dir).read_access_key()
        assert key is not None, "the program has not started yet"
        return key

    def metrics(self) -> dict[str, float]:
        """`/metrics` as numbers by name."""
        return self.main.metrics()

    def log(self) -> str:
        """The last part of what the program printed."""
        return self.main.log()
