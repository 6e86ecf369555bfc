"""Who is to blame when a process ends, and what an invocation cost: on every local rung."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sandbox.api import Ending, OutcomeKind
from sandbox.node_sandbox import NodeSandbox
from tests.harness.rung_bench import RungBench, missing

pytestmark = pytest.mark.integration

RUNGS = (
    "bubblewrap",
    "bubblewrap without cgroups",
    "landlock",
    "landlock without cgroups",
    "docker",
)
FUNCTION = r"""
const cp = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const never = () => new Promise(() => {});
const child = (code) => new Promise((resolve) => {
  cp.spawn(process.execPath, ['-e', code], { stdio: 'ignore' })
    .on('exit', (status, signal) => resolve([status, signal]));
});
const held = [];
const holdSockets = (count) => {
  const held = [];
  const net = require('node:net');
  const path = `/tmp/many${process.pid}`;
  net.createServer((socket) => held.push(socket.pause())).listen(path, () => {
    for (let i = 0; i < count; i += 1) held.push(net.connect(path).on('error', () => {}));
  });
};
const actions = {
  never,
  nothing: () => 1,
  exit: (ctx) => process.exit(ctx.args.code),
  abort: () => process.abort(),
  throwLater: () => { setTimeout(() => { throw new Error('mine'); }, 1); return never(); },
  reject: () => { Promise.reject(new Error('mine')); return never(); },
  segfault: () => { process.kill(process.pid, 'SIGSEGV'); return never(); },
  burn: () => { const until = Date.now() + 300; while (Date.now() < until); },
  childBurns: () => child('const until = Date.now() + 600; while (Date.now() < until);'),
  childGrows: () => child(`
    const held = [];
    setInterval(() => held.push(Buffer.alloc(16 * 2 ** 20, 1)), 5);
  `),
  large: async (ctx) => {
    let buffer = Buffer.alloc(100 * 2 ** 20, 1);
    await new Promise((resolve) => setTimeout(resolve, 250));
    buffer = null;
    if (ctx.args.then === 'loop') for (;;);
  },
  sockets: async (ctx) => {
    const path = `/tmp/server${process.pid}`;
    const server = net.createServer((socket) => held.push(socket.pause()));
    await new Promise((resolve) => server.listen(path, resolve));
    for (let i = 0; i < ctx.args.count; i += 1) {
      await new Promise((resolve) => {
        const socket = net.connect(path, resolve).on('error', resolve);
        held.push(socket);
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    return held.length;
  },
  // as many as a process may have, in five of them
  manySockets: (ctx) => {
    const code = `(${holdSockets})(110)`;
    for (let i = 0; i < 4; i += 1) cp.spawn(process.execPath, ['-e', code], { stdio: 'ignore' });
    holdSockets(110);
    return never();
  },
};
module.exports = async (ctx) => actions[ctx.args.do](ctx);
"""


@pytest.fixture(params=RUNGS)
def rung(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if (lacking := missing(name)) is not None:
        pytest.skip(lacking)
    return name


@pytest.fixture
async def bench(rung: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RungBench]:
    async with RungBench(rung, tmp_path_factory.mktemp("f")).open() as bench:
        yield bench


@pytest.fixture
async def sandbox(bench: RungBench) -> NodeSandbox:
    return await bench.bound(FUNCTION)


def counts_all(bench: RungBench) -> bool:
    """Whether control groups count, and no watcher estimates."""
    return bench.spawner.rung == "docker" or bench.spawner._groups is not None


async def with_neighbours(
    bench: RungBench, sandbox: NodeSandbox, do: str, code: int = 0
) -> tuple[Ending, list[Ending]]:
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(bench.run(sandbox, "never")) for _ in range(2)]
        await asyncio.sleep(0)
        ending = await bench.run(sandbox, do, code=code)
    return ending, [await other for other in others]


@pytest.mark.parametrize(
    ("do", "kind"),
    [
        ("exit", OutcomeKind.EXITED),
        ("abort", OutcomeKind.CRASHED),
        ("throwLater", OutcomeKind.FUNCTION_ERROR),
        ("reject", OutcomeKind.FUNCTION_ERROR),
    ],
)
async def test_neighbours_of_a_known_culprit_are_lost(
    bench: RungBench, sandbox: NodeSandbox, do: str, kind: OutcomeKind
) -> None:
    ending, others = await with_neighbours(bench, sandbox, do, code=3)
    assert ending.kind is kind
    assert [other.kind for other in others] == [OutcomeKind.SANDBOX_LOST] * 2


async def test_without_a_culprit_all_end_as_the_process(
    bench: RungBench, sandbox: NodeSandbox
) -> None:
    ending, others = await with_neighbours(bench, sandbox, "segfault")
    assert {ending.kind, *(other.kind for other in others)} == {OutcomeKind.CRASHED}


@pytest.mark.parametrize("code", [137, 139])
async def test_an_exit_code_is_no_signal(bench: RungBench, sandbox: NodeSandbox, code: int) -> None:
    ending = await bench.run(sandbox, "exit", code=code)
    assert ending.kind is OutcomeKind.EXITED
    assert ending.fault is not None
    assert f"code {code} " in ending.fault.message


async def test_a_child_that_grows_too_large_ends_the_sandbox(
    bench: RungBench, sandbox: NodeSandbox
) -> None:
    ending = await bench.run(sandbox, "childGrows")
    assert ending.kind is OutcomeKind.OUT_OF_MEMORY
    assert ending.usage.peak_memory_mb is not None
    assert ending.usage.peak_memory_mb > 150
    assert not sandbox.alive


async def test_an_abort_is_no_want_of_memory(bench: RungBench, sandbox: NodeSandbox) -> None:
    assert (await bench.run(sandbox, "nothing")).kind is OutcomeKind.OK
    assert (await bench.run(sandbox, "abort")).kind is OutcomeKind.CRASHED


async def test_processor_time_of_children_is_billed(bench: RungBench, sandbox: NodeSandbox) -> None:
    await bench.run(sandbox, "burn")  # a watcher has looked
    usage = (await bench.run(sandbox, "childBurns")).usage
    assert usage.cpu_ms is not None
    assert usage.cpu_ms > 100
    after = (await bench.run(sandbox, "nothing")).usage
    assert after.cpu_ms is not None
    assert after.cpu_ms < 100


async def test_the_peak_is_that_of_the_invocation(bench: RungBench, sandbox: NodeSandbox) -> None:
    usage = (await bench.run(sandbox, "large")).usage
    assert usage.peak_memory_mb is not None
    assert usage.peak_memory_mb > 100


async def test_who_is_stopped_is_billed(bench: RungBench, sandbox: NodeSandbox) -> None:
    await bench.run(sandbox, "burn")
    ending = await bench.run(sandbox, "large", timeout_s=1.0, then="loop")
    assert ending.kind is OutcomeKind.TIMEOUT
    usage = ending.usage
    assert usage.run_ms is not None
    assert usage.run_ms >= 1000
    assert usage.cpu_ms is not None
    assert usage.cpu_ms > 100
    assert usage.peak_memory_mb is not None
    assert usage.peak_memory_mb > 100


async def test_who_dies_is_billed_where_groups_count(
    bench: RungBench, sandbox: NodeSandbox
) -> None:
    usage = (await bench.run(sandbox, "exit", code=1)).usage
    assert usage.run_ms is not None
    assert (usage.cpu_ms is not None) >= counts_all(bench)
    assert (usage.peak_memory_mb is not None) >= counts_all(bench)


async def test_sockets_within_reason_are_free(bench: RungBench, sandbox: NodeSandbox) -> None:
    ending = await bench.run(sandbox, "sockets", count=50)
    assert ending.value == b"100", ending


async def test_a_watcher_counts_what_sockets_may_hold(
    bench: RungBench, sandbox: NodeSandbox
) -> None:
    """They are empty, so that the kernel's own count would allow them."""
    if counts_all(bench):
        pytest.skip("the kernel counts what they hold")
    ending = await bench.run(sandbox, "manySockets")
    assert ending.kind is OutcomeKind.OUT_OF_MEMORY
    assert "sockets" in " ".join(bench.spawner.weaknesses)
