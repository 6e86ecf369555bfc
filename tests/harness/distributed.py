"""The distributed form of a program under test: a gateway and workers of their own, sharing what they must.

RabbitMQ and the document database are shared by all programs of a test process, each program with its own
names in them: what they cost is paid once.
"""

from __future__ import annotations

import atexit
import base64
import os
import shutil
import signal
import tempfile
import uuid
from functools import cache
from pathlib import Path

from tests.harness.documents import Documents
from tests.harness.program import Process, Program, free_port
from tests.harness.rabbitmq import RabbitMq


@cache
def shared_broker() -> RabbitMq:
    """Ends with this process."""
    broker = RabbitMq(_shared_folder() / "rabbitmq")
    atexit.register(broker.stop)
    return broker.start()


@cache
def _shared_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="yunhan-shared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class DistributedProgram(Program):
    """`yunhan gateway` and `yunhan worker` (see `Program`). `data_dir` is the gateway's."""

    command = "gateway"

    def __init__(self, data_dir: Path, **settings: str) -> None:
        """`data_dir` gets the programs' own directories, as YUNHAN_DATA_DIR does. What they share lies in the
        gateway's, so that a test which looks at everything that is kept finds it there."""
        self.root = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        key_file = data_dir.parent / f"{data_dir.name}.master.key"
        if not key_file.exists():
            key_file.write_bytes(base64.b64encode(os.urandom(32)))
        shared = data_dir / "gateway" / "shared"
        self.documents = Documents(shared / "documents")
        super().__init__(
            data_dir,
            **{
                "YUNHAN_QUEUE_URL": shared_broker().url,
                "YUNHAN_QUEUE_PREFIX": f"yunhan-{uuid.uuid4().hex[:12]}",
                "YUNHAN_QUEUE_SHARDS": "2",
                "YUNHAN_FILES_URL": f"file://{shared / 'files'}",
                "YUNHAN_MASTER_KEY_FILE": str(key_file),
                **settings,
            },
        )
        self.data_dir = data_dir / "gateway"
        self.workers: list[Process] = []
        self.add_worker()

    def add_worker(self, **settings: str) -> Process:
        """One more worker, which starts with the program, or by itself."""
        number = len(self.workers)
        port = free_port()
        environ = {
            **self.environ,
            "YUNHAN_WORKER_HTTP": f"127.0.0.1:{port}",
            "YUNHAN_DATA_DIR": str(self.root if number == 0 else self.root / f"w{number}"),
            **settings,
        }
        worker = Process(
            "worker",
            environ,
            address=f"http://127.0.0.1:{port}",
            log_path=self.root.parent / f"{self.root.name}.worker{number}.log",
        )
        self.workers.append(worker)
        return worker

    def start(self) -> Program:
        if self.documents.process is None:
            url = self.documents.start().url
            for environ in (self.environ, *(worker.environ for worker in self.workers)):
                environ["YUNHAN_DOCUMENTS_URL"] = url
        parts = [self.main, *self.workers]
        for part in parts:
            part.launch()
        for part in parts:
            part.wait_ready()
        return self

    def stop(self) -> int:
        """The gateway first, while its calls still have a worker. The first exit code that is not 0."""
        codes = [part.end(signal.SIGTERM) for part in (self.main, *self.workers)]
        self.documents.stop()
        return next((code for code in codes if code), 0)

    def kill(self) -> int:
        """All programs. The database is stopped in order, as if it were another machine's."""
        codes = [part.end(signal.SIGKILL) for part in (self.main, *self.workers) if part.process]
        self.documents.stop()
        return codes[0]

    def metrics(self) -> dict[str, float]:
        """The sums over all programs."""
        sums: dict[str, float] = {}
        for part in (self.main, *self.workers):
            for name, value in part.metrics().items():
                sums[name] = sums.get(name, 0) + value
        return sums

    def log(self) -> str:
        return "\n".join(part.log() for part in (self.main, *self.workers))
