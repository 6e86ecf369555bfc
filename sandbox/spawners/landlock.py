"""The rung of Landlock: for root on a machine without user namespaces.

Every sandbox has a uid of its own, an own root, namespaces that root may make, no capability, Landlock
rules and the seccomp filter. Limits are those of control groups where they can be written, else a
watcher's. Needs no program beside Node; `sandbox.landlock_launcher` builds the walls.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import platform
import py_compile
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from sandbox.api import SandboxError, SandboxSpec
from sandbox.bubblewrap_command import (
    BOOTSTRAP_INSIDE,
    FOLDER_INSIDE,
    HOME_INSIDE,
    NODE_INSIDE,
)
from sandbox.bubblewrap_files import Handed, ShownFiles
from sandbox.cgroups import Cgroup
from sandbox.code_view import make_view, remove_view
from sandbox.egress.access import EgressAccess
from sandbox.folders import open_to
from sandbox.handle import ProcessHandle
from sandbox.landlock_plan import Inside, Walls, launcher_plan
from sandbox.landlock_privileges import check_privileges, namespaces_here, own_user_namespace
from sandbox.landlock_process import LandlockProcess
from sandbox.landlock_rules import SCOPES_SINCE, landlock_abi, unix_sockets_only
from sandbox.landlock_uids import UIDS, UidPool, check_uids
from sandbox.local_process import LocalProcess
from sandbox.local_spawner import CHANNEL
from sandbox.node_command import node_command, node_environment
from sandbox.node_libraries import find_libraries
from sandbox.node_runtimes import NodeRuntime
from sandbox.run_program import run_program
from sandbox.sandbox_egress import EGRESS
from sandbox.seccomp import filter_program
from sandbox.walled_limits import WalledLimits
from sandbox.walled_spawner import WalledSpawner

_log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
_PROBE = "probe"
_LAUNCHER = Path(__file__).resolve().parent.parent / "landlock_launcher.py"
# What supervisor and init, which wait for Node, use themselves.
_LAUNCHER_BYTES = 8 * _MIB


class LandlockSpawner(WalledSpawner):
    """Starts Node behind walls that root builds.

    `views_dir` is where sandboxes get their code: on the file system of the unpacked code, used by one
    live worker. `uids` belong to this rung alone. With `use_cgroups` False memory is bounded by a watcher
    even where control groups could do it.
    """

    rung = "landlock"

    def __init__(
        self,
        *,
        run_dir: Path,
        views_dir: Path,
        bootstrap_dir: Path,
        node_paths: str = "",
        uids: range = UIDS,
        limits: WalledLimits | None = None,
        use_cgroups: bool = True,
        egress: EgressAccess | None = None,
    ) -> None:
        super().__init__(
            run_dir=run_dir,
            views_dir=views_dir,
            bootstrap_dir=bootstrap_dir,
            node_paths=node_paths,
            egress=egress,
            limits=limits,
            use_cgroups=use_cgroups,
        )
        self._uids = UidPool(uids)
        self._uid_range = uids
        self._walls: Walls | None = None
        self._launcher = Path()
        self._files: ShownFiles | None = None
        self._weaknesses: tuple[str, ...] = ()

    @property
    def weaknesses(self) -> Sequence[str]:
        return (*self._weaknesses, *super().weaknesses)

    # --- start and stop -------------------------------------------------------------------------

    async def _make_ready(self, leftovers: int) -> None:
        if sys.platform != "linux":
            raise SandboxError("the rung landlock exists on Linux only.")
        check_privileges()
        check_uids(self._uid_range)
        self._walls = self._build_walls()
        libraries = {
            runtime.path: await find_libraries(runtime.path) for runtime in self._runtimes.values()
        }
        groups = await asyncio.to_thread(self._prepare_files, self._walls.stage, libraries)
        self._walls = dataclasses.replace(self._walls, limits=self._limits)  # known only now
        for runtime in self._runtimes.values():
            await self._probe(runtime)
        _log.info(
            "sandbox_rung_ready",
            rung=self.rung,
            limits_by=self._limits_by,
            landlock_abi=self._walls.abi,
            weaknesses=self.weaknesses,
            leftovers_removed=leftovers,
            groups_removed=groups,
        )

    def _build_walls(self) -> Walls:
        machine = platform.machine()
        filters = [filter_program(machine)]
        abi = landlock_abi()
        namespaces = namespaces_here()
        weaknesses = []
        if "net" not in namespaces:
            if abi < SCOPES_SINCE:
                raise SandboxError(
                    "without network namespaces the rung landlock cannot close abstract sockets:"
                    f" Landlock has version {abi} here, {SCOPES_SINCE} could (Linux 6.12).",
                    what_next="Allow network namespaces (sysctl user.max_net_namespaces), or use"
                    " another rung.",
                )
            filters.append(unix_sockets_only(machine))
            weaknesses.append(
                "No network namespaces here: a system call filter and Landlock keep functions from the"
                " host's network."
            )
        if abi < SCOPES_SINCE:
            weaknesses.append(
                f"Landlock has version {abi} here: its uid and namespaces alone keep a sandbox's"
                " signals and abstract sockets inside."
            )
        self._weaknesses = tuple(weaknesses)
        return Walls(
            stage=self._directory.shared / "stage",
            abi=abi,
            namespaces=namespaces,
            filters=tuple(filters),
            init_uid=self._uids.init_uid,
            limits=self._limits,
            maps=own_user_namespace(),
        )

    def _prepare_files(self, stage: Path, libraries: Mapping[Path, Sequence[Path]]) -> int:
        """How many control groups of a dead worker were removed."""
        try:
            stage.mkdir(mode=0o700, exist_ok=True)
            self._launcher = self._directory.shared / "launcher.pyc"
            # Compiled once: compiling takes longer than everything that it does.
            py_compile.compile(str(_LAUNCHER), str(self._launcher), "launcher.py", doraise=True)
            self._files = ShownFiles(
                etc_dir=self._directory.shared / "etc",
                bootstrap_dir=self._bootstrap_dir,
                libraries=libraries,
                staged=False,
            )
        except OSError as error:
            raise SandboxError(
                f"the directory {self._run_dir} is not usable: {error}.",
                what_next="It must be a directory that this user can write.",
            ) from error
        return self._prepare_views_and_groups()

    async def _probe(self, runtime: NodeRuntime) -> None:
        """The same walls around a program that does nothing: whatever is missing shows here."""
        folder = self._run_dir / f"sb-{_PROBE}"
        uid = self._uids.take()
        view = make_view(self._views_dir, _PROBE)
        try:
            folder.mkdir(mode=0o700)
            open_to(uid, folder)
            with self._shown().handed(node=runtime.path, folder=folder, view=view) as handed:
                command, plan = self._command(
                    [str(NODE_INSIDE), "-e", "0"], {}, handed=handed, uid=uid, group=None
                )
                code, output = await run_program(command, pass_fds=[plan])
        finally:
            remove_view(view)
            self._uids.give_back(uid)
            with contextlib.suppress(OSError):
                folder.rmdir()
        if code != 0:
            raise SandboxError(
                f"the rung landlock does not work here: {output or f'exit code {code}'}.",
                what_next="It needs root with the right to mount and to make namespaces of mounts and"
                " processes, which profiles of seccomp, AppArmor or SELinux may forbid; and the"
                " Node.js and node_bootstrap files must be readable for everybody.",
            )

    # --- one sandbox ----------------------------------------------------------------------------

    def _launch(self, folder: Path, runtime: NodeRuntime, spec: SandboxSpec) -> ProcessHandle:
        uid = self._uids.take()
        view: Path | None = None
        group: Cgroup | None = None
        try:
            view = make_view(self._views_dir, spec.sandbox_id)
            open_to(uid, folder, folder / CHANNEL)
            group = self._make_group(spec)
            with self._shown().handed(node=runtime.path, folder=folder, view=view) as handed:
                local = self._start_process(folder, spec, handed, uid, group)
        except BaseException as error:
            if group is not None:
                group.remove()
            if view is not None:
                remove_view(view)
            self._uids.give_back(uid)
            if isinstance(error, OSError):
                raise SandboxError(f"sandbox {spec.sandbox_id} cannot be made: {error}.") from error
            raise
        process = LandlockProcess(
            local,
            uid=uid,
            view=view,
            group=group,
            on_shown=lambda: self._watch(
                process.pid, spec, process.kill_for_memory, process.meter, beside=_LAUNCHER_BYTES
            ),
            on_removed=lambda: self._forget(process, uid),
        )
        return process

    def _start_process(
        self, folder: Path, spec: SandboxSpec, handed: Handed, uid: int, group: Cgroup | None
    ) -> LocalProcess:
        node = Path(NODE_INSIDE)
        command, plan = self._command(
            node_command(node=node, bootstrap_dir=Path(BOOTSTRAP_INSIDE), memory_mb=spec.memory_mb),
            node_environment(
                node=node,
                home=Path(HOME_INSIDE),
                channel=Path(FOLDER_INSIDE) / CHANNEL,
                egress=Path(FOLDER_INSIDE) / EGRESS if self._egress is not None else None,
            ),
            handed=handed,
            uid=uid,
            group=group,
        )
        return LocalProcess.start(
            command,
            environment={},
            working_dir=Path("/"),
            folder=folder,
            guard=self._guard,
            pass_fds=[plan],
        )

    def _command(
        self,
        inside: Sequence[str],
        environment: Mapping[str, str],
        *,
        handed: Handed,
        uid: int,
        group: Cgroup | None,
    ) -> tuple[list[str], int]:
        """The launcher's command line and the descriptor that it reads its plan from."""
        if self._walls is None:
            raise SandboxError("the landlock spawner is not started.")
        plan = handed.readable(
            launcher_plan(
                self._walls,
                Inside(
                    command=inside,
                    environment=environment,
                    working_dir=str(HOME_INSIDE),
                    binds=handed.binds,
                    uid=uid,
                    joined=[] if group is None else group.procs,
                ),
                worker=os.getpid(),
            )
        )
        return [sys.executable, "-I", "-S", "-B", str(self._launcher), str(plan)], plan

    def _shown(self) -> ShownFiles:
        if self._files is None:
            raise SandboxError("the landlock spawner is not started.")
        return self._files

    def _forget(self, process: LandlockProcess, uid: int) -> None:
        self._watcher.discard(process.pid)
        self._uids.give_back(uid)
