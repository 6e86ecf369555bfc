"""The rung of bubblewrap: namespaces, an own root, no capabilities, a seccomp filter, no network.

Needs the program `bwrap` and user namespaces. As root every sandbox gets a uid of its own, which owns
nothing on this machine: root's uid would still own the kernel's settings below /proc/sys, with or
without capabilities. Limits are those of control groups where they can be written, else a watcher's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from sandbox.api import SandboxError, SandboxSpec
from sandbox.bubblewrap_command import (
    BOOTSTRAP_INSIDE,
    FOLDER_INSIDE,
    HOME_INSIDE,
    NODE_INSIDE,
    ProcessLimits,
    RootPrograms,
    as_user,
    bubblewrap_arguments,
    bubblewrap_command,
    in_groups,
)
from sandbox.bubblewrap_files import Handed, ShownFiles
from sandbox.bubblewrap_process import BubblewrapProcess
from sandbox.capabilities import lacking
from sandbox.cgroups import Cgroup
from sandbox.code_view import make_view, remove_view
from sandbox.egress.access import EgressAccess
from sandbox.folders import open_to
from sandbox.handle import ProcessHandle
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
_UID_FIRST = 1_600_000_000
_UIDS_MAX = 4096
_WORKERS_MAX = 100_000
_UID_MAP = Path("/proc/self/uid_map")
# Since Linux 5.14 a user namespace counts its processes for itself; before, all of a uid's together.
_OWN_PROCESS_COUNT_SINCE = (5, 14)


class BubblewrapSpawner(WalledSpawner):
    """Starts Node in bubblewrap.

    `views_dir` is where sandboxes get their code: on the file system of the unpacked code, used by one
    live worker. `bwrap` names the program; None looks for it. With `use_cgroups` False memory and
    processes are bounded by a watcher and rlimits even where control groups could do it.
    """

    rung = "bubblewrap"

    def __init__(
        self,
        *,
        run_dir: Path,
        views_dir: Path,
        bootstrap_dir: Path,
        node_paths: str = "",
        egress: EgressAccess | None = None,
        bwrap: Path | None = None,
        limits: WalledLimits | None = None,
        use_cgroups: bool = True,
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
        self._bwrap_wanted = bwrap
        self._bwrap = Path()
        self._root_programs: RootPrograms | None = None
        self._options: frozenset[str] = frozenset()
        self._filter = b""
        self._files: ShownFiles | None = None
        self._uids = range(0)
        self._uids_used: set[int] = set()

    # --- start and stop -------------------------------------------------------------------------

    async def _make_ready(self, leftovers: int) -> None:
        self._bwrap = self._find_bwrap()
        self._filter = filter_program(platform.machine())
        if os.geteuid() == 0:
            _check_root()
            self._root_programs = RootPrograms(
                prlimit=_find_program("prlimit"),
                setpriv=_find_program("setpriv"),
                unshare=_find_program("unshare"),
            )
            self._uids = free_uids(
                await asyncio.to_thread(_UID_MAP.read_text, "ascii"),
                worker=zlib.crc32(os.fsencode(self._run_dir)),
            )
        code, output = await run_program([str(self._bwrap), "--help"])
        if code != 0:
            raise SandboxError(f"{self._bwrap} does not run: {output}")
        self._options = frozenset(word for word in output.split() if word.startswith("--"))
        libraries = {
            runtime.path: await find_libraries(runtime.path) for runtime in self._runtimes.values()
        }
        self._files = await asyncio.to_thread(
            ShownFiles,
            etc_dir=self._directory.shared / "etc",
            bootstrap_dir=self._bootstrap_dir,
            libraries=libraries,
            staged=bool(self._uids),
        )
        groups = await asyncio.to_thread(self._prepare_views_and_groups)
        for runtime in self._runtimes.values():
            await self._probe(runtime)
        _log.info(
            "sandbox_rung_ready",
            rung=self.rung,
            limits_by=self._limits_by,
            own_uids=bool(self._uids),
            leftovers_removed=leftovers,
            groups_removed=groups,
        )

    def _find_bwrap(self) -> Path:
        found = self._bwrap_wanted or shutil.which("bwrap")
        if found is None or not os.access(found, os.X_OK):
            raise SandboxError(
                f"the program {found or 'bwrap'} of the rung bubblewrap is not installed.",
                what_next="Install the package `bubblewrap` (apt-get install bubblewrap).",
            )
        return Path(found).absolute()

    async def _probe(self, runtime: NodeRuntime) -> None:
        """The same walls around a program that does nothing: whatever is missing shows here."""
        folder = self._run_dir / f"sb-{_PROBE}"
        view = make_view(self._views_dir, _PROBE)
        uid = self._uids[0] if self._uids else None
        try:
            folder.mkdir(mode=0o700)
            if uid is not None:
                open_to(uid, folder)
            with self._handed(runtime.path, folder, view) as handed:
                command = self._command(
                    [str(NODE_INSIDE), "-e", "0"], {}, handed=handed, uid=uid, group=None
                )
                code, output = await run_program(command, pass_fds=handed.descriptors)
        finally:
            remove_view(view)
            with contextlib.suppress(OSError):
                folder.rmdir()
        if code != 0:
            who = "this user" if uid is None else f"uid {uid}, which root's sandboxes get"
            raise SandboxError(
                f"the rung bubblewrap does not work here for {who}: {output or f'exit code {code}'}.",
                what_next="It needs unprivileged user namespaces: sysctl user.max_user_namespaces"
                " above 0, kernel.unprivileged_userns_clone=1 (Debian) and"
                " kernel.apparmor_restrict_unprivileged_userns=0 or a profile for bwrap (Ubuntu);"
                " inside a container also a seccomp profile that lets them be made, and an unmasked"
                " /proc. And the Node.js and node_bootstrap files must be readable for everybody.",
            )

    # --- one sandbox ----------------------------------------------------------------------------

    def _launch(self, folder: Path, runtime: NodeRuntime, spec: SandboxSpec) -> ProcessHandle:
        uid = self._take_uid()
        view: Path | None = None
        group: Cgroup | None = None
        try:
            view = make_view(self._views_dir, spec.sandbox_id)
            if uid is not None:
                open_to(uid, folder, folder / CHANNEL)
            group = self._make_group(spec)
            with self._handed(runtime.path, folder, view) as handed:
                local = self._start_process(folder, spec, handed, uid, group)
                gone = os.dup(handed.gone)
        except BaseException as error:
            if group is not None:
                group.remove()
            if view is not None:
                remove_view(view)
            self._give_back(uid)
            if isinstance(error, OSError):
                raise SandboxError(f"sandbox {spec.sandbox_id} cannot be made: {error}.") from error
            raise
        process = BubblewrapProcess(
            local,
            view=view,
            gone=gone,
            group=group,
            limits=self._process_limits() if uid is None else None,
            open_socket=lambda path: open_to(uid, path) if uid is not None else None,
            on_shown=lambda: self._watch(process.pid, spec, process.kill_for_memory, process.meter),
            on_removed=lambda: self._forget(process, uid),
        )
        return process

    def _start_process(
        self, folder: Path, spec: SandboxSpec, handed: Handed, uid: int | None, group: Cgroup | None
    ) -> LocalProcess:
        node = Path(NODE_INSIDE)
        command = self._command(
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
            pass_fds=handed.descriptors,
        )

    def _command(
        self,
        inside: Sequence[str],
        environment: Mapping[str, str],
        *,
        handed: Handed,
        uid: int | None,
        group: Cgroup | None,
    ) -> list[str]:
        arguments = bubblewrap_arguments(
            binds=handed.binds,
            environment=environment,
            seccomp_fd=handed.readable(self._filter),
            sync_fd=handed.sync,
            tmp_bytes=self._limits.tmp_bytes,
            shm_bytes=self._limits.shm_bytes,
            disable_userns="--disable-userns" in self._options,
        )
        command = bubblewrap_command(self._bwrap, handed.readable(arguments), inside)
        procs = [] if group is None else group.procs
        if uid is not None and self._root_programs is not None:
            return as_user(
                self._root_programs,
                uid,
                command,
                limits=ProcessLimits(
                    open_files=self._limits.open_files, processes=self._limits.pids
                ),
                procs=procs,
                binds=handed.binds,
            )
        return in_groups(procs, command) if procs else command

    def _process_limits(self) -> ProcessLimits:
        return ProcessLimits(
            open_files=self._limits.open_files,
            processes=self._limits.pids if _counts_own_processes() else None,
        )

    def _handed(self, node: Path, folder: Path, view: Path) -> AbstractContextManager[Handed]:
        if self._files is None:
            raise SandboxError("the bubblewrap spawner is not started.")
        return self._files.handed(node=node, folder=folder, view=view)

    def _take_uid(self) -> int | None:
        if not self._uids:
            return None
        uid = next((uid for uid in self._uids if uid not in self._uids_used), None)
        if uid is None:
            raise SandboxError(f"all {len(self._uids)} uids for sandboxes are in use.")
        self._uids_used.add(uid)
        return uid

    def _give_back(self, uid: int | None) -> None:
        if uid is not None:
            self._uids_used.discard(uid)

    def _forget(self, process: BubblewrapProcess, uid: int | None) -> None:
        self._watcher.discard(process.pid)
        self._give_back(uid)


def _check_root() -> None:
    if missing := lacking("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID"):
        raise SandboxError(
            f"as root the rung bubblewrap mounts files for uids of sandboxes, but this root has not"
            f" {', '.join(missing)}.",
            what_next="Start the worker as an ordinary user: then this rung needs no rights; or use the"
            " rung landlock.",
        )


def _find_program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise SandboxError(
            f"the program {name}, with which root gives a sandbox a uid of its own, is missing.",
            what_next="Install the package `util-linux`, or do not run Yunhan as root.",
        )
    return Path(found)


def free_uids(uid_map: str, *, worker: int = 0) -> range:
    """Uids that this user namespace has and nobody uses: high up, or at the end of a short range.

    `worker` is any number that tells workers on one machine apart: limits count by uid.
    """
    first, _, count = max(tuple(map(int, line.split())) for line in uid_map.splitlines())
    top = first + count - _UIDS_MAX
    if top <= 0:
        raise SandboxError(
            f"this user namespace has only {count} uids, too few for one per sandbox.",
            what_next="Do not run Yunhan as root here.",
        )
    start = min(_UID_FIRST + worker % _WORKERS_MAX * _UIDS_MAX, top)
    return range(start, start + _UIDS_MAX)


def _counts_own_processes() -> bool:
    numbers = platform.release().split("-")[0].split(".")[:2]
    return tuple(int(number) for number in numbers) >= _OWN_PROCESS_COUNT_SINCE
