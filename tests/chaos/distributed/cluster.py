"""The distributed form with all that it needs: a broker, a document database, two gateways, two workers."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pymongo import MongoClient

from runtime.data_dir import GATEWAY_FOLDER, WORKER_FOLDER, AccessKey
from tests.chaos.distributed.amqp import Amqp
from tests.chaos.snapshot import Machine, descendants
from tests.harness.documents import Documents
from tests.harness.management import Management
from tests.harness.program import Process, free_port
from tests.harness.rabbitmq import RabbitMq

GATEWAYS = 2
WORKERS = 2
SLOTS = 8
SHARDS = 2
LEASE_S = 3.0
IDLE_S = 4.0
QUEUE_WAIT_S = 10.0
OUTCOME_GRACE_S = 10.0

_SETTINGS = {
    "YUNHAN_SANDBOX": "process",
    "YUNHAN_SLOTS": str(SLOTS),
    "YUNHAN_SANDBOXES_MAX": "32",
    "YUNHAN_SANDBOX_IDLE_S": str(IDLE_S),
    "YUNHAN_LOG_FUNCTION_LINES": "false",
    "YUNHAN_LOG_FORMAT": "json",
    "YUNHAN_QUEUE_SHARDS": str(SHARDS),
    "YUNHAN_QUEUE_WAIT_S": str(QUEUE_WAIT_S),
    "YUNHAN_QUEUE_OUTCOME_GRACE_S": str(OUTCOME_GRACE_S),
    "YUNHAN_QUEUE_RECONNECT_LONGEST_S": "1",
    "YUNHAN_QUEUE_SHARD_PREFETCH": "4",
    # Only what is lost loses: killing every sandbox and worker again and again uses up many attempts.
    "YUNHAN_ASYNC_ATTEMPTS": "8",
    "YUNHAN_ASYNC_BACKOFF_FIRST_S": "0.2",
    "YUNHAN_ASYNC_BACKOFF_LONGEST_S": "2",
    "YUNHAN_ASYNC_LEASE_S": str(LEASE_S),
    "YUNHAN_ASYNC_SWEEP_S": "0.5",
    "YUNHAN_ASYNC_SWEEP_GRACE_S": "2",
    "YUNHAN_ASYNC_MAX_JOBS": "50000",
    "YUNHAN_ASYNC_MAX_JOBS_PER_SPACE": "50000",
    "YUNHAN_INTAKE_USERS": "guest=*",
}


class Cluster:
    """Started by `open_cluster`. Programs are restarted on their own directories, as after a crash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        key_file = folder / "master.key"
        key_file.write_bytes(base64.b64encode(os.urandom(32)))
        self.access_key = AccessKey(key_id=os.urandom(8).hex(), secret=os.urandom(20).hex())
        self.broker = RabbitMq(folder / "rabbitmq")
        self.documents = Documents(folder / "documents")
        self.prefix = "yunhan"
        self._common = {
            **{name: text for name, text in os.environ.items() if not name.startswith("YUNHAN_")},
            **_SETTINGS,
            "YUNHAN_QUEUE_URL": self.broker.url,
            "YUNHAN_QUEUE_PREFIX": self.prefix,
            "YUNHAN_FILES_URL": f"file://{folder / 'files'}",
            "YUNHAN_MASTER_KEY_FILE": str(key_file),
            "YUNHAN_ACCESS_KEY_ID": self.access_key.key_id,
            "YUNHAN_ACCESS_KEY_SECRET": self.access_key.secret,
        }
        self.gateways = [self._gateway(number) for number in range(GATEWAYS)]
        self.workers = [self._worker(number) for number in range(WORKERS)]
        self.machines = [
            *(Machine(folder / f"g{n}" / GATEWAY_FOLDER, None) for n in range(GATEWAYS)),
            *(Machine(folder / f"w{n}" / WORKER_FOLDER, None) for n in range(WORKERS)),
        ]
        self.peaks_mb: Counter[str] = Counter()

    @property
    def programs(self) -> list[Process]:
        return [*self.gateways, *self.workers]

    def _gateway(self, number: int) -> Process:
        return self._process("gateway", f"g{number}", "YUNHAN_HTTP", YUNHAN_HTTPS="")

    def _worker(self, number: int) -> Process:
        return self._process("worker", f"w{number}", "YUNHAN_WORKER_HTTP")

    def _process(self, command: str, name: str, listens: str, **settings: str) -> Process:
        address = f"127.0.0.1:{free_port()}"
        environ = {
            **self._common,
            "YUNHAN_DATA_DIR": str(self.folder / name),
            listens: address,
            **settings,
        }
        log = self.folder / f"{name}.log"
        return Process(command, environ, address=f"http://{address}", log_path=log)

    def start(self) -> None:
        self.broker.start()
        url = self.documents.start().url
        for program in self.programs:
            program.environ["YUNHAN_DOCUMENTS_URL"] = url
            program.launch()
        for program in self.programs:
            program.wait_ready()

    def management(self, gateway: int) -> Management:
        return Management(self.gateways[gateway].address, self.access_key)

    def cli(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A command against gateway 0."""
        return subprocess.run(
            [sys.executable, "-m", "runtime.cli.main", *arguments],
            env=self.gateways[0].environ,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def kill(self, program: Process) -> None:
        """SIGKILL, and it is gone."""
        self.note_peaks()
        program.end(signal.SIGKILL)

    def database_server(self) -> int:
        """Its process id; its keeper starts it again when it dies."""
        assert self.documents.process is not None
        [pid] = [
            pid
            for pid in descendants(self.documents.process.pid)
            if "secantusd" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        return pid

    def note_peaks(self) -> None:
        """The largest resident sets so far, MB."""
        for program in self.programs:
            if (process := program.process) is not None and process.poll() is None:
                peak = _peak_mb(process.pid)
                self.peaks_mb[program.command] = max(self.peaks_mb[program.command], peak)

    def stop(self) -> list[int | str]:
        """SIGTERM for all; the exit codes, gateways first."""
        self.note_peaks()
        codes: list[int | str] = []
        for program in self.programs:
            try:
                codes.append(program.end(signal.SIGTERM))
            except subprocess.TimeoutExpired:
                program.end(signal.SIGKILL)
                codes.append("none for 60 s after SIGTERM, and was killed")
        return codes

    def end(self) -> None:
        """Whatever happened. Idempotent."""
        for program in self.programs:
            if program.process is not None:
                program.end(signal.SIGKILL)
        if self.broker.process is not None:
            self.broker.kill()
        self.documents.stop()


@contextmanager
def open_cluster(folder: Path) -> Iterator[Cluster]:
    """Nothing of it outlives this."""
    cluster = Cluster(folder)
    with ExitStack() as stack:
        stack.callback(cluster.end)
        cluster.start()
        yield cluster


@contextmanager
def ledger_of(cluster: Cluster) -> Iterator[Ledger]:
    client: MongoClient[dict[str, object]] = MongoClient(
        cluster.documents.url, timeoutMS=10_000, serverSelectionTimeoutMS=10_000
    )
    try:
        yield Ledger(client)
    finally:
        client.close()


class Ledger:
    """The documents of asynchronous jobs, read without the code that wrote them."""

    def __init__(self, client: MongoClient[dict[str, object]]) -> None:
        self._jobs = client["yunhan_jobs"]["jobs"]

    def open_jobs(self) -> dict[str, int]:
        """Jobs that are not over, by state."""
        found = {
            state: self._jobs.count_documents({"st": state}) for state in ("queued", "running")
        }
        return {state: count for state, count in found.items() if count}

    def ends_of(self, job_ids: list[str]) -> dict[str, tuple[str, object, int]]:
        """State, time of its end and attempts of those jobs that are over."""
        found = {}
        for start in range(0, len(job_ids), 500):
            wanted = {
                "_id": {"$in": job_ids[start : start + 500]},
                "st": {"$nin": ["queued", "running"]},
            }
            for each in self._jobs.find(wanted, {"st": 1, "e": 1, "n": 1}):
                attempts = each["n"]
                assert isinstance(attempts, int)
                found[str(each["_id"])] = (str(each["st"]), each.get("e"), attempts)
        return found

    def all(self) -> Iterator[dict[str, object]]:
        yield from self._jobs.find({})


def _peak_mb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def amqp_of(cluster: Cluster) -> Amqp:
    return Amqp(cluster.broker.url)
