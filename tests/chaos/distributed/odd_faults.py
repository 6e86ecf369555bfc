"""Faults of one program's surroundings: signals, clocks, descriptors, silent connections, poison."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.distributed import functions
from tests.chaos.distributed.amqp import Amqp
from tests.chaos.distributed.cluster import Cluster
from tests.chaos.distributed.load import Load
from tests.chaos.distributed.producers import message
from tests.chaos.distributed.tally import Fault, Tally
from tests.harness.program import Process
from tests.harness.tcp_proxy import TcpProxy

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_UNDER_LOAD_S = 6.0
_SILENT_S = 25.0
"""A silent broker is given up after three heartbeats of 5 s."""
_STARVED_S = 6.0
POISON_MESSAGES = 20
POISON_JOBS = 5
_SPARE_DESCRIPTORS = 2


class OddFaults:
    """Each method returns when what it did was undone."""

    def __init__(
        self,
        cluster: Cluster,
        load: Load,
        amqp: Amqp,
        tally: Tally,
        space_id: str,
        dice: random.Random,
    ) -> None:
        self._cluster = cluster
        self._load = load
        self._amqp = amqp
        self._tally = tally
        self._space_id = space_id
        self._dice = dice
        self.poison_messages = 0

    def by_kind(self) -> Mapping[str, Callable[[Fault], None]]:
        return {
            "sigterm_worker": lambda _: self._sigterm(self._cluster.workers),
            "sigterm_gateway": lambda _: self._sigterm(self._cluster.gateways),
            "clock_ahead": lambda _: self._moved_clock("+1h"),
            "clock_behind": lambda _: self._moved_clock("-1h"),
            "half_open_worker": lambda _: self._half_open(self._cluster.workers[1]),
            "half_open_gateway": lambda _: self._half_open(self._cluster.gateways[1]),
            "descriptors": lambda _: self._descriptors(),
            "poison": lambda _: self._poison(),
            "backlog": self._backlog,
        }

    def _sigterm(self, programs: list[Process]) -> None:
        program = self._dice.choice(programs)
        self._terminate(program)
        program.start()

    def _terminate(self, program: Process) -> None:
        self._cluster.note_peaks()
        code = program.end(signal.SIGTERM)
        if code:
            self._tally.violate(
                f"{program.command} ended with {code} after SIGTERM\n{program.log()}"
            )

    def _moved_clock(self, by: str) -> None:
        """A real clock that is wrong; it moves on."""
        assert FAKETIME.exists(), "no libfaketime: apt-get install faketime"
        faked = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": by,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self._with_environ(self._cluster.workers[1], faked, lambda: time.sleep(_UNDER_LOAD_S))

    def _with_environ(
        self, program: Process, more: Mapping[str, str], then: Callable[[], None]
    ) -> None:
        before = dict(program.environ)
        self._terminate(program)
        program.environ.update(more)
        try:
            program.start()
            then()
        finally:
            program.environ.clear()
            program.environ.update(before)
        self._terminate(program)
        program.start()

    def _half_open(self, program: Process) -> None:
        """Its connections to the broker stay open and nothing comes through any more."""
        with _proxy_to(self._cluster.broker.port) as (port, proxy, loop):
            url = self._cluster.broker.url.replace(f":{self._cluster.broker.port}/", f":{port}/")

            def silence() -> None:
                time.sleep(2)
                loop.call_soon_threadsafe(proxy.stop_forwarding)
                time.sleep(_SILENT_S)
                loop.call_soon_threadsafe(proxy.go_on)
                program.wait_ready()

            self._with_environ(program, {"YUNHAN_QUEUE_URL": url}, silence)

    def _descriptors(self) -> None:
        """A worker that can open hardly anything more, and later can again."""
        worker = self._dice.choice(self._cluster.workers)
        assert worker.process is not None
        pid = worker.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (now + _SPARE_DESCRIPTORS, before[1]))
        time.sleep(_STARVED_S)
        if worker.process.poll() is None:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        else:
            self._tally.violate(
                f"a worker without descriptors ended with {worker.process.returncode}\n{worker.log()}"
            )
            worker.launch()
        worker.wait_ready()

    def _poison(self) -> None:
        """Messages that are no jobs, and jobs that always crash."""
        for number in range(POISON_MESSAGES):
            body = self._dice.choice(
                [b"\xff\x00", b"[1,2", b"{}", b'{"space":"mp-x","function":"f"}']
            )
            try:
                self._amqp.publish(
                    message(body, message_id=f"poison-{self.poison_messages}-{number}"),
                    f"{self._cluster.prefix}.intake",
                    "v1",
                )
            except Exception as error:  # noqa: BLE001 - nothing was killed
                self._tally.violate(f"a message was not taken: {error!r}")
            else:
                self.poison_messages += 1
        for _ in range(POISON_JOBS):
            self._load.submit(self._dice, way="management", name=functions.CRASHING)

    def _backlog(self, fault: Fault) -> None:
        """Thousands of jobs wait while no worker runs; then two do, and one of them is killed on the way."""
        count = self._tally.options.backlog
        self._load.pause()
        for worker in self._cluster.workers:
            self._terminate(worker)
        began = time.monotonic()
        threads = [
            threading.Thread(target=self._fill, args=(count // 4, random.Random(number)))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        filled_s = time.monotonic() - began
        for worker in self._cluster.workers:
            worker.start()
        time.sleep(3)
        self._cluster.kill(self._cluster.workers[0])
        fault.done["worker"] += 1
        self._cluster.workers[0].start()
        self._tally.notes.append(f"backlog: {count} jobs accepted in {filled_s:.1f} s")
        self._load.resume()

    def _fill(self, count: int, dice: random.Random) -> None:
        for number in range(count):
            self._load.submit(dice, way="management" if number % 4 else "intake", name="quick-0")


@contextmanager
def _proxy_to(port: int) -> Iterator[tuple[int, TcpProxy, asyncio.AbstractEventLoop]]:
    """On a loop of its own."""
    loop = asyncio.new_event_loop()
    proxy = TcpProxy(port)
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with proxy.open():
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="proxy")
    thread.start()
    ready.wait()
    try:
        yield proxy.port, proxy, loop
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
