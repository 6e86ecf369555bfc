"""The ladder of isolation: which rung a program stands on.

A rung that was asked for and does not work here is an error; only `auto` looks for the strongest that does,
and says why the others do not.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path

import structlog

from runtime.settings import MIB, Settings, SettingsError
from runtime.wiring.egress import egress_access
from sandbox.api import SandboxError, Spawner
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.egress.internal import InternalHandler
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.docker import DockerSpawner
from sandbox.spawners.docker_options import DockerOptions
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.spawners.process import ProcessSpawner
from sandbox.walled_limits import WalledLimits

_log = structlog.get_logger(__name__)

AUTOMATIC = ("bubblewrap", "landlock", "process")
"""What `auto` tries, strongest first. Docker needs an engine, which serves others too: on request only."""

NEEDS: Mapping[str, str] = {
    "bubblewrap": "the program bwrap and user namespaces; no rights as an ordinary user, as root"
    " CAP_SYS_ADMIN and util-linux",
    "landlock": "root, Linux 5.13 with Landlock, and CAP_SYS_ADMIN or user namespaces",
    "docker": "the unix socket of a Docker engine on this machine; whoever reads it is root here",
    "process": "nothing, and isolates nothing: refused with YUNHAN_ENV=production",
}
"""What each rung asks of the machine and of the worker's user, strongest of `AUTOMATIC` first."""

_WALLED: Mapping[str, type[BubblewrapSpawner | LandlockSpawner]] = {
    BubblewrapSpawner.rung: BubblewrapSpawner,
    LandlockSpawner.rung: LandlockSpawner,
}


async def start_spawner(
    settings: Settings,
    *,
    run_dir: Path,
    views_dir: Path,
    refused: MutableMapping[str, str] | None = None,
    internal: Mapping[str, InternalHandler] | None = None,
) -> Spawner:
    """A started spawner of the rung that the settings ask for.

    `run_dir` is for sockets (short path), `views_dir` on the file system of the unpacked code; both belong to
    one live worker. `refused` is told why `auto` passed over a rung. Raises SandboxError, which says what is
    missing and what to do, and SettingsError for settings that exclude each other. `internal`: hosts in the
    worker, on rungs with an egress socket (`has_egress_socket`)."""
    if settings.sandbox != "auto":
        return await _start(settings.sandbox, settings, run_dir, views_dir, internal)
    reasons: MutableMapping[str, str] = {} if refused is None else refused
    for rung in AUTOMATIC:
        try:
            spawner = await _start(rung, settings, run_dir, views_dir, internal)
        except SandboxError as error:
            _log.info("rung_not_available", rung=rung, reason=str(error))
            reasons[rung] = str(error)
            continue
        if not spawner.isolates:
            _log.warning("no_rung_that_isolates_works_here", rung=rung, refused=dict(reasons))
        return spawner
    raise SandboxError(
        "no rung of isolation works on this machine.",
        what_next=" ".join(f"{rung}: {reason}" for rung, reason in reasons.items()),
    )


async def _start(
    rung: str,
    settings: Settings,
    run_dir: Path,
    views_dir: Path,
    internal: Mapping[str, InternalHandler] | None,
) -> Spawner:
    spawner = _make(rung, settings, run_dir, views_dir, internal)
    if settings.production and not spawner.isolates:
        if settings.sandbox == rung:
            raise SettingsError(
                f"YUNHAN_SANDBOX={rung} isolates nothing and is refused with YUNHAN_ENV=production;"
                " unset YUNHAN_SANDBOX (auto takes the strongest rung that works here)"
            )
        raise SandboxError(
            f"the rung {rung} isolates nothing and is refused with YUNHAN_ENV=production.",
            what_next="Install bubblewrap, or set YUNHAN_SANDBOX=docker.",
        )
    try:
        await spawner.start()
    except BaseException:
        await spawner.stop()
        raise
    return spawner


def has_egress_socket(rung: str) -> bool:
    """Whether sandboxes of this rung reach the outside through their worker only."""
    return rung != ProcessSpawner.rung


def _make(
    rung: str,
    settings: Settings,
    run_dir: Path,
    views_dir: Path,
    internal: Mapping[str, InternalHandler] | None,
) -> Spawner:
    bootstrap = bootstrap_dir()
    if rung == "process":
        return ProcessSpawner(
            run_dir=run_dir, bootstrap_dir=bootstrap, node_paths=settings.node_paths
        )
    if rung in _WALLED:
        return _WALLED[rung](
            run_dir=run_dir,
            views_dir=views_dir,
            bootstrap_dir=bootstrap,
            node_paths=settings.node_paths,
            egress=egress_access(settings, internal),
            limits=WalledLimits(
                tmp_bytes=settings.sandbox_tmp_mb * MIB,
                pids=settings.sandbox_pids_max,
                open_files=settings.sandbox_files_max,
                cpus=settings.sandbox_cpus,
            ),
        )
    return DockerSpawner(
        run_dir=run_dir,
        views_dir=views_dir,
        bootstrap_dir=bootstrap,
        node_paths=settings.node_paths,
        docker_host=settings.docker_host,
        base_image=settings.docker_base_image,
        egress=egress_access(settings, internal),
        options=DockerOptions(
            runtime=settings.docker_runtime,
            cpus=settings.sandbox_cpus,
            pids_max=settings.sandbox_pids_max,
            files_max=settings.sandbox_files_max,
            tmp_mb=settings.sandbox_tmp_mb,
        ),
        uids=settings.docker_uids,
        spawns_max=settings.docker_spawns_max,
        reconcile_s=settings.docker_reconcile_s,
    )
