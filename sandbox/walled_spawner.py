"""What the rungs with walls on this machine share: views of the code, control groups, else the watcher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox.api import SandboxError, SandboxSpec
from sandbox.bubblewrap_command import TMPFS_INSIDE
from sandbox.cgroups import Cgroup, CgroupFolders, GroupLimits, close_cgroups, open_cgroups
from sandbox.code_view import sweep_views
from sandbox.egress.access import EgressAccess
from sandbox.local_spawner import LocalSpawner
from sandbox.memory_watcher import LookedAt, MemoryWatcher, Watched
from sandbox.meter import Meter
from sandbox.walled_limits import WalledLimits

_MIB = 1024 * 1024


class WalledSpawner(LocalSpawner):
    """`views_dir` is where sandboxes get their code: on the file system of the unpacked code, used by one
    live worker. With `use_cgroups` False a watcher bounds memory even where control groups could do it."""

    isolates = True

    def __init__(
        self,
        *,
        run_dir: Path,
        views_dir: Path,
        bootstrap_dir: Path,
        node_paths: str,
        egress: EgressAccess | None,
        limits: WalledLimits | None,
        use_cgroups: bool,
    ) -> None:
        super().__init__(
            run_dir=run_dir, bootstrap_dir=bootstrap_dir, node_paths=node_paths, egress=egress
        )
        self._views_dir = views_dir.absolute()
        self._limits = limits or WalledLimits()
        self._use_cgroups = use_cgroups
        self._groups: CgroupFolders | None = None
        self._watcher = MemoryWatcher()

    async def _make_unready(self) -> None:
        await self._watcher.stop()
        if self._groups is not None:
            close_cgroups(self._groups)
            self._groups = None

    @property
    def weaknesses(self) -> Sequence[str]:
        if self._groups is not None:
            return ()
        watched = (
            "No control groups can be written here: a watcher looks at memory several times a second, between"
            " two looks a function may take more than its limit; what the kernel keeps for it (sockets,"
            f" pipes) is bounded by {self._limits.pids} processes and threads with {self._limits.open_files}"
            " open files each and by that watcher; nothing shares processor time out, and bills"
            " estimate that of child processes."
        )
        return (watched,)

    @property
    def _limits_by(self) -> str:
        return "watcher" if self._groups is None else type(self._groups).__name__

    def _prepare_views_and_groups(self) -> int:
        """Blocking. How many control groups of a dead worker were removed. Raises SandboxError."""
        try:
            self._views_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._views_dir.chmod(0o700)
            sweep_views(self._views_dir)
        except OSError as error:
            raise SandboxError(
                f"the directory {self._views_dir} is not usable: {error.strerror}.",
                what_next="It must be a directory that this user can write.",
            ) from error
        self._limits = self._limits.allowed_here()
        groups = open_cgroups(self._run_dir)
        swept = 0 if groups is None else groups.sweep()
        if groups is not None and self._use_cgroups:
            self._groups = groups
            return swept
        if groups is not None:
            close_cgroups(groups)
        self._limits = self._limits.without_groups()
        return swept

    def _make_group(self, spec: SandboxSpec) -> Cgroup | None:
        if self._groups is None:
            return None
        limits = GroupLimits(
            memory_bytes=spec.memory_mb * _MIB, pids=self._limits.pids, cpus=self._limits.cpus
        )
        return self._groups.make(spec.sandbox_id, limits)

    def _watch(
        self,
        pid: int,
        spec: SandboxSpec,
        on_exceeded: Callable[[], None],
        meter: Meter,
        *,
        beside: int = 0,
    ) -> None:
        """Where no group does it. `beside` are bytes that what we put around Node uses itself."""
        if not isinstance(meter, LookedAt):
            return
        self._watcher.add(
            Watched(
                pid=pid,
                memory_bytes=spec.memory_mb * _MIB + beside,
                tmpfs=TMPFS_INSIDE,
                on_exceeded=on_exceeded,
                on_look=meter.saw,
            )
        )
