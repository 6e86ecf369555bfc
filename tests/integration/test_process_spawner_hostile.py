"""What functions may do to a sandbox: each gets its own outcome, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from sandbox.api import (
    Binding,
    Ending,
    Invocation,
    Limits,
    LogLine,
    OutcomeKind,
    Sandbox,
    SandboxSpec,
)
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.spawners.process import ProcessSpawner
from tests.harness.processes import stat_of

pytestmark = pytest.mark.integration


class Host:
    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.cut = False

    def on_log(self, lines: Sequence[LogLine], *, cut: bool) -> None:
        self.lines += lines
        self.cut |= cut

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        return b'{"success":true,"data":null,"requestId":"r"}'


class Bench:
    """A process spawner in its own folder, and functions written on the spot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.spawner = ProcessSpawner(run_dir=self.run_dir, bootstrap_dir=bootstrap_dir())
        self.host = Host()
        self._made = 0

    async def bound(self, script: str, *, memory_mb: int = 128) -> tuple[Sandbox, Ending]:
        self._made += 1
        name = f"f{self._made}"
        code_dir = self.folder / "code" / name
        code_dir.mkdir(parents=True)
        (code_dir / "index.js").write_text(script)
        spec = SandboxSpec(
            sandbox_id=name, node_major=24, memory_mb=memory_mb, limits=Limits(load_timeout_s=5)
        )
        sandbox = await self.spawner.spawn(spec)
        binding = Binding(space_id="s", function=name, deployment_id="d", code_dir=code_dir)
        return sandbox, await sandbox.bind(binding, request_id="load", host=self.host)

    async def run(self, body: str, *, memory_mb: int = 128, timeout_s: float = 30) -> Ending:
        """Run `module.exports = async (ctx) => { body }` once, in a sandbox of its own."""
        script = f"module.exports = async (ctx) => {{ {body} }};"
        sandbox, ending = await self.bound(script, memory_mb=memory_mb)
        assert ending.kind is OutcomeKind.OK, ending
        invocation = Invocation(request_id="r", args=b"{}", env={}, timeout_s=timeout_s)
        ending = await sandbox.run(invocation, self.host)
        await sandbox.stop()
        return ending

    async def check_clean(self) -> None:
        """No sandbox, no folder, no process in one; and the next function works."""
        assert [entry.name for entry in self.run_dir.iterdir()] == ["worker"]
        assert processes_in(self.run_dir) == []
        ending = await self.run("return 'works'")
        assert (ending.kind, ending.value) == (OutcomeKind.OK, b'"works"')
        assert [entry.name for entry in self.run_dir.iterdir()] == ["worker"]


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is below `folder`, or was."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                directory = os.readlink(entry / "cwd")  # noqa: PTH115 - may end in " (deleted)"
            except OSError:
                continue
            if directory.startswith(str(folder)):
                found.append(int(entry.name))
    return found


@pytest.fixture
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("h"))
    await bench.spawner.start()
    try:
        yield bench
        await bench.check_clean()
    finally:
        await bench.spawner.stop()


ENDINGS = [
    ("a thrown text", "throw 'text'", OutcomeKind.FUNCTION_ERROR),
    ("a thrown null", "throw null", OutcomeKind.FUNCTION_ERROR),
    (
        "a throw whose message throws",
        "throw { get message() { throw 1; } }",
        OutcomeKind.FUNCTION_ERROR,
    ),
    ("a cycle", "const a = {}; a.a = a; return a", OutcomeKind.RESULT_NOT_SERIALIZABLE),
    ("a BigInt", "return 1n", OutcomeKind.RESULT_NOT_SERIALIZABLE),
    ("100 MB", "return 'x'.repeat(100 * 1024 * 1024)", OutcomeKind.RESULT_TOO_LARGE),
    (
        "deep nesting",
        "let a = []; for (let i = 0; i < 5000; i++) a = [a]; return a",
        OutcomeKind.RESULT_NOT_SERIALIZABLE,
    ),
    ("exit 0", "process.exit(0)", OutcomeKind.EXITED),
    ("exit 3", "process.exit(3)", OutcomeKind.EXITED),
    ("reallyExit", "process.reallyExit(0)", OutcomeKind.EXITED),
    ("abort", "process.abort()", OutcomeKind.CRASHED),
    ("kill by itself", "process.kill(process.pid, 'SIGKILL'); for (;;);", OutcomeKind.SANDBOX_LOST),
    ("SIGSEGV", "process.kill(process.pid, 'SIGSEGV'); for (;;);", OutcomeKind.CRASHED),
    ("a lone surrogate", "return '\\ud800'", OutcomeKind.OK),
    (
        "an unhandled rejection",
        "Promise.reject(new Error('nobody')); await new Promise(() => {})",
        OutcomeKind.FUNCTION_ERROR,
    ),
    (
        "an uncaught exception",
        "setTimeout(() => { throw new Error('late') }); await new Promise(() => {})",
        OutcomeKind.FUNCTION_ERROR,
    ),
]


@pytest.mark.parametrize(
    ("body", "kind"), [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS]
)
async def test_each_misdeed_has_its_outcome(bench: Bench, body: str, kind: OutcomeKind) -> None:
    assert (await bench.run(body, memory_mb=512)).kind is kind


@pytest.mark.parametrize("body", ["await new Promise(() => {})", "while (true);"])
async def test_what_never_ends_times_out(bench: Bench, body: str) -> None:
    assert (await bench.run(body, timeout_s=0.3)).kind is OutcomeKind.TIMEOUT


async def test_a_full_heap_is_told_from_other_aborts(bench: Bench) -> None:
    body = "const all = []; for (;;) all.push(new Array(1e5).fill(all.length))"
    ending = await bench.run(body)
    assert ending.kind is OutcomeKind.OUT_OF_MEMORY
    assert ending.fault is not None
    assert "128 MB" in ending.fault.message


async def test_a_flood_of_logs_is_cut_and_the_result_stands(bench: Bench) -> None:
    body = "for (let i = 0; i < 100000; i++) console.log('flood '.repeat(20)); return 1"
    ending = await bench.run(body)
    assert ending.value == b"1"
    assert bench.host.cut
    assert len(bench.host.lines) <= Limits().log_lines_max
    assert sum(len(line.text) for line in bench.host.lines) <= Limits().log_max_bytes


async def test_a_flood_on_the_raw_descriptors_is_drained(bench: Bench) -> None:
    body = """
    const line = Buffer.alloc(65536, 'x');
    for (let left = 20e6, i = 0; left > 0; i++) {
      try { left -= require('fs').writeSync(1 + i % 2, line); } catch {}  // full for the moment
    }
    return 1
    """
    assert (await bench.run(body)).value == b"1"


async def test_garbage_on_every_descriptor_is_no_result(bench: Bench) -> None:
    body = """
    const fs = require('fs');
    for (let fd = 3; fd < 64; fd++) { try { fs.writeSync(fd, 'garbage!'.repeat(100)); } catch {} }
    await new Promise(() => {})
    """
    ending = await bench.run(body)
    assert ending.kind in {OutcomeKind.PROTOCOL_ERROR, OutcomeKind.CRASHED}


async def test_a_forged_result_of_another_invocation_is_a_protocol_error(bench: Bench) -> None:
    body = """
    const fs = require('fs');
    const header = Buffer.from('{"t":"result","id":"other","ok":true}');
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32BE(header.length, 0);
    lengths.writeUInt32BE(1, 4);
    const forged = Buffer.concat([lengths, header, Buffer.from('1')]);
    for (const fd of fs.readdirSync('/proc/self/fd')) {
      try {
        if (fs.readlinkSync('/proc/self/fd/' + fd).startsWith('socket:')) fs.writeSync(+fd, forged);
      } catch {}
    }
    await new Promise(() => {})
    """
    assert (await bench.run(body)).kind is OutcomeKind.PROTOCOL_ERROR


async def test_closing_every_descriptor_ends_somehow(bench: Bench) -> None:
    body = """
    const fs = require('fs');
    for (let fd = 0; fd < 64; fd++) { try { fs.closeSync(fd); } catch {} }
    await new Promise(() => {})
    """
    ending = await bench.run(body)
    assert ending.kind in {OutcomeKind.CRASHED, OutcomeKind.NO_RESULT, OutcomeKind.EXITED}


async def test_closing_the_channel_alone_ends_without_a_result(bench: Bench) -> None:
    body = """
    const fs = require('fs');
    for (const fd of fs.readdirSync('/proc/self/fd')) {
      try {
        if (fs.readlinkSync('/proc/self/fd/' + fd).startsWith('socket:')) fs.closeSync(+fd);
      } catch {}
    }
    while (true);
    """
    assert (await bench.run(body)).kind is OutcomeKind.NO_RESULT


CHILDREN = {
    "in its group": "{ stdio: 'ignore' }",
    "in its group, elsewhere": "{ stdio: 'ignore', cwd: '/' }",
    "detached": "{ stdio: 'ignore', detached: true }",
}


@pytest.mark.parametrize("leave", ["return 1", "process.exit(3)"])
@pytest.mark.parametrize("options", CHILDREN.values(), ids=CHILDREN)
async def test_children_die_with_the_sandbox(bench: Bench, options: str, leave: str) -> None:
    body = f"""
    const child = require('child_process').spawn('sleep', ['1000'], {options});
    child.unref();
    await new Promise((resolve) => child.once('spawn', resolve));
    console.log(child.pid);
    {leave}
    """
    ending = await bench.run(body)
    assert ending.kind in {OutcomeKind.OK, OutcomeKind.EXITED}
    await gone(int(bench.host.lines[0].text))


async def test_a_child_that_holds_the_output_open_does_not_delay_the_end(bench: Bench) -> None:
    body = """
    const options = { detached: true, stdio: 'inherit' };
    const child = require('child_process').spawn('sh', ['-c', 'while :; do echo x; done'], options);
    await new Promise((resolve) => child.once('spawn', resolve));
    process.exit(3)
    """
    async with asyncio.timeout(10):
        assert (await bench.run(body)).kind is OutcomeKind.EXITED


async def test_nothing_of_the_workers_environment_is_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YUNHAN_ACCESS_KEY_SECRET", "top-secret")
    monkeypatch.setenv("NODE_OPTIONS", "--no-warnings")
    ending = await bench.run("return [Object.keys(process.env).sort(), process.cwd()]")
    assert ending.value is not None
    names, directory = json.loads(ending.value)
    assert set(names) <= {"PATH", "LANG", "TZ", "HOME", "TMPDIR", "FC_FUNCTION_NAME"}
    assert directory.startswith(str(bench.run_dir.resolve()))


async def test_only_the_standard_descriptors_are_inherited(bench: Bench) -> None:
    with (bench.folder / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        ending = await bench.run(
            "const fs = require('fs'); const seen = [];"
            "for (const fd of fs.readdirSync('/proc/self/fd')) {"
            "  try { seen.push(fs.readlinkSync('/proc/self/fd/' + fd)); } catch {} }"
            "return seen.filter((target) => target.endsWith('secret'))"
        )
    assert ending.value == b"[]"


async def gone(pid: int) -> None:
    """Return when a process that was killed has disappeared; its parent reaps it in its own time."""
    async with asyncio.timeout(5):
        while is_running(pid):
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        state = stat_of(pid)[0]
    except FileNotFoundError:
        return False
    return state != "Z"
