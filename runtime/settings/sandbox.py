"""One sandbox: its rung of isolation, its limits, its calls to us."""

from __future__ import annotations

from typing import Literal

from runtime.settings.fields import MIB, SettingGroup, setting


class SandboxSettings(SettingGroup):
    """Walls and limits that every sandbox is started with."""

    sandbox: Literal["auto", "process", "landlock", "bubblewrap", "docker"] = setting(
        "auto", "name", "rung of isolation; auto = the strongest that is here"
    )
    sandbox_cpus: float = setting(1.0, "cores", "processor time of one sandbox", gt=0)
    sandbox_pids_max: int = setting(
        128, "count", "processes and threads of one sandbox; Node needs a dozen", ge=64
    )
    sandbox_files_max: int = setting(1024, "count", "open files of one sandbox's process", ge=64)
    sandbox_tmp_mb: int = setting(64, "MB", "writable /tmp of one sandbox, in memory", ge=1)
    node_paths: str = setting(
        "", "major=path,...", "further Node.js executables, e.g. 20=/usr/bin/node"
    )
    calls_in_flight_max: int = setting(
        100, "count", "service calls (ctx.mpserverless) under way in one sandbox", ge=1
    )
    call_max_bytes: int = setting(16 * MIB, "bytes", "one service call or its answer", ge=1)
    calls_max_bytes: int = setting(
        32 * MIB, "bytes", "service calls and answers of one sandbox that the worker holds", ge=1
    )
    calls_worker_max_bytes: int = setting(
        256 * MIB, "bytes", "the same of all sandboxes of a worker; further ones wait", ge=1
    )
