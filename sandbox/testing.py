"""The contract of a rung of isolation, as a test suite that every `Spawner` must pass.

An adapter's test module subclasses `SpawnerContract` and says how to make a spawner and where its
functions are. Real rungs run `JS_FUNCTIONS` of `sandbox.testing_functions`; a rung without Node
provides the same behaviour.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import (
    Binding,
    Ending,
    Invocation,
    Limits,
    LogLevel,
    OutcomeKind,
    Sandbox,
    SandboxError,
    SandboxSpec,
    Spawner,
)
from sandbox.testing_functions import INVOKE_METHOD, RecordingHost


class SpawnerContract:
    """Subclass it as `Test...`; pytest's asyncio mode is "auto"."""

    node_major = 24

    def make_spawner(self, folder: Path) -> Spawner:
        """A spawner that was not started. `folder` is empty, its path short, and the test's own."""
        raise NotImplementedError

    def code_dir(self, folder: Path, function: str) -> Path:
        """Where the code of one of the suite's functions is, or will be, in `folder`."""
        raise NotImplementedError

    # --- helpers --------------------------------------------------------------------------------

    @pytest.fixture
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("s")

    @pytest.fixture
    async def spawner(self, folder: Path) -> AsyncIterator[Spawner]:
        spawner = self.make_spawner(folder)
        await spawner.start()
        try:
            yield spawner
        finally:
            await spawner.stop()

    def spec(self, sandbox_id: str = "one", **limits: Any) -> SandboxSpec:
        return SandboxSpec(
            sandbox_id=sandbox_id,
            node_major=self.node_major,
            memory_mb=128,
            limits=Limits(**limits),
        )

    def binding(self, folder: Path, function: str = "actions") -> Binding:
        return Binding(
            space_id="mp-space",
            function=function,
            deployment_id="dep-1",
            code_dir=self.code_dir(folder, function),
        )

    def bound(
        self, spawner: Spawner, folder: Path, **limits: Any
    ) -> AbstractAsyncContextManager[Sandbox]:
        """A sandbox that is bound to `actions`."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Sandbox]:
            sandbox = await spawner.spawn(self.spec(**limits))
            binding = self.binding(folder)
            ending = await sandbox.bind(binding, request_id="load", host=RecordingHost())
            assert ending.kind is OutcomeKind.OK, ending
            try:
                yield sandbox
            finally:
                await sandbox.stop()

        return opened()

    async def do(
        self,
        sandbox: Sandbox,
        action: str,
        host: RecordingHost | None = None,
        request_id: str = "req",
        timeout_s: float = 30.0,
        **args: Any,
    ) -> Ending:
        """Invoke `actions` once."""
        invocation = Invocation(
            request_id=request_id,
            args=json.dumps({"do": action, **args}).encode(),
            env={"MP_SPACE_ID": "mp-space", "MP_SOURCE": "client"},
            timeout_s=timeout_s,
        )
        ending = await sandbox.run(invocation, host or RecordingHost())
        assert (ending.value is not None) == (ending.kind is OutcomeKind.OK)
        assert (ending.fault is None) == (ending.kind is OutcomeKind.OK)
        return ending

    # --- spawner --------------------------------------------------------------------------------

    async def test_says_which_versions_are_installed(self, spawner: Spawner) -> None:
        majors = list(spawner.node_majors())
        assert self.node_major in majors
        assert majors == sorted(set(majors))
        assert spawner.rung

    async def test_a_new_sandbox_is_alive_until_stopped(self, spawner: Spawner) -> None:
        sandbox = await spawner.spawn(self.spec())
        assert sandbox.spec == self.spec()
        alive = [sandbox.alive]
        await sandbox.stop()
        alive.append(sandbox.alive)
        await sandbox.wait_ended()
        await sandbox.stop()
        assert alive == [True, False]

    async def test_an_id_is_free_again_after_its_sandbox_was_stopped(
        self, spawner: Spawner
    ) -> None:
        first = await spawner.spawn(self.spec())
        with pytest.raises(SandboxError, match="one"):
            await spawner.spawn(self.spec())
        await first.stop()
        second = await spawner.spawn(self.spec())
        assert second.alive

    async def test_refuses_a_version_that_is_not_installed(self, spawner: Spawner) -> None:
        spec = SandboxSpec(sandbox_id="one", node_major=999, memory_mb=128)
        with pytest.raises(SandboxError, match="999"):
            await spawner.spawn(spec)

    async def test_stopping_the_spawner_stops_its_sandboxes(self, spawner: Spawner) -> None:
        sandboxes = [await spawner.spawn(self.spec(name)) for name in ("one", "two")]
        await spawner.stop()
        assert not any(sandbox.alive for sandbox in sandboxes)
        await spawner.stop()
        with pytest.raises(SandboxError, match="not started"):
            await spawner.spawn(self.spec("three"))

    async def test_a_cancelled_spawn_leaves_its_id_free(self, spawner: Spawner) -> None:
        spawning = asyncio.create_task(spawner.spawn(self.spec()))
        await asyncio.sleep(0)
        spawning.cancel()
        await asyncio.wait({spawning})
        if not spawning.cancelled():  # a rung may be done before it can be cancelled
            await spawning.result().stop()
        assert (await spawner.spawn(self.spec())).alive

    # --- bind -----------------------------------------------------------------------------------

    async def test_runs_only_after_a_bind_and_binds_only_once(
        self, spawner: Spawner, folder: Path
    ) -> None:
        sandbox = await spawner.spawn(self.spec())
        with pytest.raises(RuntimeError):
            await self.do(sandbox, "echo")
        binding = self.binding(folder)
        ending = await sandbox.bind(binding, request_id="load", host=RecordingHost())
        assert (ending.kind, ending.value, ending.fault) == (OutcomeKind.OK, None, None)
        with pytest.raises(RuntimeError):
            await sandbox.bind(binding, request_id="load2", host=RecordingHost())
        assert sandbox.alive

    async def test_a_throw_while_loading_is_the_functions_error(
        self, spawner: Spawner, folder: Path
    ) -> None:
        sandbox = await spawner.spawn(self.spec())
        binding = self.binding(folder, "load_throws")
        ending = await sandbox.bind(binding, request_id="load", host=RecordingHost())
        assert ending.kind is OutcomeKind.FUNCTION_ERROR
        assert ending.fault is not None
        assert ending.fault.message == "broken while loading"
        assert not ending.reusable

    async def test_missing_code_is_the_functions_error(
        self, spawner: Spawner, folder: Path
    ) -> None:
        sandbox = await spawner.spawn(self.spec())
        binding = self.binding(folder, "missing")
        ending = await sandbox.bind(binding, request_id="load", host=RecordingHost())
        assert ending.kind is OutcomeKind.FUNCTION_ERROR
        assert ending.fault is not None
        assert ending.fault.code == "MODULE_NOT_FOUND"
        assert not ending.reusable

    async def test_an_endless_load_times_out(self, spawner: Spawner, folder: Path) -> None:
        sandbox = await spawner.spawn(self.spec(load_timeout_s=0.3))
        binding = self.binding(folder, "load_loops")
        ending = await sandbox.bind(binding, request_id="load", host=RecordingHost())
        assert ending.kind is OutcomeKind.TIMEOUT
        assert not ending.reusable
        assert not sandbox.alive

    # --- runs that end well ---------------------------------------------------------------------

    async def test_arguments_and_environment_arrive(self, spawner: Spawner, folder: Path) -> None:
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, "echo", text="云 😀", list=[1, None, 1.5])
            assert ending.value is not None
            assert json.loads(ending.value) == {
                "do": "echo",
                "text": "云 😀",
                "list": [1, None, 1.5],
            }
            assert ending.reusable
            ending = await self.do(sandbox, "env")
            assert ending.value is not None
            assert json.loads(ending.value) == {"MP_SPACE_ID": "mp-space", "MP_SOURCE": "client"}

    async def test_no_value_is_null(self, spawner: Spawner, folder: Path) -> None:
        async with self.bound(spawner, folder) as sandbox:
            assert (await self.do(sandbox, "nothing")).value == b"null"

    async def test_state_lives_as_long_as_the_sandbox(self, spawner: Spawner, folder: Path) -> None:
        async with self.bound(spawner, folder) as sandbox:
            counts = [(await self.do(sandbox, "count")).value for _ in range(3)]
            assert counts == [b"1", b"2", b"3"]
        async with self.bound(spawner, folder) as sandbox:
            assert (await self.do(sandbox, "count")).value == b"1"

    async def test_several_runs_at_the_same_time(self, spawner: Spawner, folder: Path) -> None:
        host = RecordingHost(gate_open=False)
        async with self.bound(spawner, folder) as sandbox, asyncio.TaskGroup() as group:
            runs = [
                group.create_task(self.do(sandbox, "call", host, f"req-{i}", number=i))
                for i in range(5)
            ]
            await host.wait_for_calls(5)
            with pytest.raises(RuntimeError, match="req-0"):
                await self.do(sandbox, "echo", request_id="req-0")
            host.gate.set()
            values = [json.loads((await run).value or b"null") for run in runs]
        assert [value["answer"]["number"] for value in values] == [0, 1, 2, 3, 4]

    async def test_log_lines_come_in_order_and_before_the_ending(
        self, spawner: Spawner, folder: Path
    ) -> None:
        host = RecordingHost()
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, "log", host)
        assert ending.kind is OutcomeKind.OK
        assert host.texts == ["one", "two", "three", "four"]
        assert [line.level for line in host.lines] == list(LogLevel)
        assert not host.cut

    async def test_a_flood_of_log_lines_is_cut(self, spawner: Spawner, folder: Path) -> None:
        host = RecordingHost()
        async with self.bound(spawner, folder, log_lines_max=100) as sandbox:
            ending = await self.do(sandbox, "flood", host)
        assert ending.kind is OutcomeKind.OK
        assert host.texts == [f"line {i}" for i in range(100)]
        assert host.cut

    # --- service calls --------------------------------------------------------------------------

    async def test_a_service_call_is_answered(self, spawner: Spawner, folder: Path) -> None:
        host = RecordingHost()
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, "call", host, x=1)
        assert ending.value is not None
        assert json.loads(ending.value) == {"answer": {"do": "call", "x": 1}}
        [(method, params, user_id)] = host.calls
        assert method == INVOKE_METHOD
        assert (params["functionTarget"], params["functionArgs"]["x"]) == ("gate", 1)
        assert user_id is None

    async def test_a_function_may_act_as_another_user(self, spawner: Spawner, folder: Path) -> None:
        host = RecordingHost()
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, "callAs", host)
        assert ending.kind is OutcomeKind.OK
        assert [user_id for _, _, user_id in host.calls] == ["user-7"]

    async def test_a_call_that_nobody_awaits_is_cancelled_at_the_end(
        self, spawner: Spawner, folder: Path
    ) -> None:
        host = RecordingHost()
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, "leave", host)
            assert ending.value == b'"left"'
            assert host.cancelled == 1
            assert (await self.do(sandbox, "count")).value == b"1"

    # --- runs that end badly --------------------------------------------------------------------

    async def test_a_throw_is_the_functions_error(self, spawner: Spawner, folder: Path) -> None:
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, "throw")
            assert ending.kind is OutcomeKind.FUNCTION_ERROR
            assert ending.fault is not None
            assert ending.fault.name == "TypeError"
            assert ending.fault.message == "broken on purpose"
            assert ending.fault.code == "E_PURPOSE"
            assert ending.reusable
            assert (await self.do(sandbox, "count")).value == b"1"

    async def test_a_value_without_json_text_is_refused(
        self, spawner: Spawner, folder: Path
    ) -> None:
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, "cycle")
            assert ending.kind is OutcomeKind.RESULT_NOT_SERIALIZABLE
            assert (await self.do(sandbox, "count")).value == b"1"

    async def test_too_large_a_result_is_refused(self, spawner: Spawner, folder: Path) -> None:
        async with self.bound(spawner, folder, result_max_bytes=1000) as sandbox:
            assert (await self.do(sandbox, "large", bytes=998)).kind is OutcomeKind.OK
            ending = await self.do(sandbox, "large", bytes=999)
            assert ending.kind is OutcomeKind.RESULT_TOO_LARGE
            assert (await self.do(sandbox, "count")).value == b"1"

    @pytest.mark.parametrize("code", [0, 3])
    async def test_an_exit_ends_the_sandbox(
        self, spawner: Spawner, folder: Path, code: int
    ) -> None:
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, "exit", code=code)
            assert ending.kind is OutcomeKind.EXITED
            assert ending.fault is not None
            assert f"code {code}" in ending.fault.message
            assert not ending.reusable
            assert not sandbox.alive
            await sandbox.wait_ended()

    @pytest.mark.parametrize("action", ["never", "loop"])
    async def test_the_time_limit_ends_the_sandbox(
        self, spawner: Spawner, folder: Path, action: str
    ) -> None:
        async with self.bound(spawner, folder) as sandbox:
            ending = await self.do(sandbox, action, timeout_s=0.2)
            assert ending.kind is OutcomeKind.TIMEOUT
            assert ending.fault is not None
            assert "0.2 s" in ending.fault.message
            assert not ending.reusable
            assert not sandbox.alive
            await sandbox.wait_ended()

    async def test_neighbours_of_a_timeout_are_lost(self, spawner: Spawner, folder: Path) -> None:
        host = RecordingHost(gate_open=False)
        async with self.bound(spawner, folder) as sandbox, asyncio.TaskGroup() as group:
            neighbour = group.create_task(self.do(sandbox, "call", host, "neighbour"))
            await host.wait_for_calls(1)
            ending = await self.do(sandbox, "loop", timeout_s=0.2)
            lost = await neighbour
        assert ending.kind is OutcomeKind.TIMEOUT
        assert lost.kind is OutcomeKind.SANDBOX_LOST
        assert not lost.reusable
        assert host.cancelled == 1

    async def test_a_cancelled_run_ends_the_sandbox(self, spawner: Spawner, folder: Path) -> None:
        host = RecordingHost(gate_open=False)
        async with self.bound(spawner, folder) as sandbox:
            run = asyncio.create_task(self.do(sandbox, "call", host))
            await host.wait_for_calls(1)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert not sandbox.alive
            assert host.cancelled == 1

    async def test_stopping_a_sandbox_loses_its_runs(self, spawner: Spawner, folder: Path) -> None:
        host = RecordingHost(gate_open=False)
        async with self.bound(spawner, folder) as sandbox, asyncio.TaskGroup() as group:
            run = group.create_task(self.do(sandbox, "call", host))
            await host.wait_for_calls(1)
            await sandbox.stop()
            assert (await run).kind is OutcomeKind.SANDBOX_LOST
            later = await self.do(sandbox, "echo", request_id="later")
            assert later.kind is OutcomeKind.SANDBOX_LOST
            assert not later.reusable
