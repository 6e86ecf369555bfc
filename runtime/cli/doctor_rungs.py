"""Which rung of isolation functions get on this machine: tried, not believed."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.cli.doctor_findings import Finding, State
from runtime.settings import Settings, SettingsError
from sandbox.api import SandboxError
from sandbox.capabilities import NAMES, lacking
from sandbox.wall_probe import WallReport, try_walls

_USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")


def check_machine(_settings: Settings) -> Finding:
    """Who we are to the kernel, which decides what a rung can do."""
    text = f"{platform.system()} {platform.release()}"
    if hasattr(os, "geteuid"):
        text += f", uid {os.geteuid()}"
    if platform.system() == "Linux":
        text += (
            f", {_rights()}, user namespaces {'allowed' if _may_make_users() else 'switched off'}"
        )
    return Finding(name="machine", state=State.OK, text=text)


def check_rung(settings: Settings) -> tuple[Finding, str]:
    """What isolates functions from this machine and from each other; escapes from it are attempted. Also
    the rung that `yunhan up` would stand on here, empty for none."""
    refused: dict[str, str] = {}
    # A folder of its own: the program that may be running owns the usual one.
    with tempfile.TemporaryDirectory(prefix="yunhan-") as folder:
        try:
            tried = asyncio.run(_try_rung(settings, Path(folder), refused))
        except (SandboxError, SettingsError) as error:
            finding = Finding(
                name="sandbox",
                state=State.PROBLEM,
                text=f"{settings.sandbox}: {error}",
                details=list(_ladder(refused, "")),
            )
            return finding, ""
    return _judge(settings, tried, [*tried.weaknesses, *_ladder(refused, tried.rung)]), tried.rung


def _judge(settings: Settings, tried: _Tried, details: Sequence[str]) -> Finding:
    wanted = "YUNHAN_SANDBOX" if settings.sandbox != "auto" else "the strongest that works here"
    head = f"{tried.rung} ({wanted})"
    if tried.walls is None:
        return Finding(
            name="sandbox",
            state=State.WARNING,
            text=f"{head}: functions run as your user and see your files and network",
            next_step="Run only code that you trust, or unset YUNHAN_SANDBOX: auto takes the strongest"
            " rung that works here."
            if settings.sandbox == tried.rung
            else "Run only code that you trust, or install bubblewrap (apt-get install bubblewrap).",
            details=details,
        )
    if tried.walls.got:
        return Finding(
            name="sandbox",
            state=State.PROBLEM,
            text=f"{head}: a function got hold of {', '.join(tried.walls.got)}",
            next_step="Do not run other people's functions here; choose another rung with"
            " YUNHAN_SANDBOX.",
            details=details,
        )
    return Finding(
        name="sandbox",
        state=State.OK,
        text=f"{head}: {tried.walls.tried} attempts to get out of one failed",
        details=details,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """`walls` is None on a rung that isolates nothing."""

    rung: str
    weaknesses: tuple[str, ...]
    walls: WallReport | None


async def _try_rung(settings: Settings, folder: Path, refused: dict[str, str]) -> _Tried:
    from runtime.wiring.rungs import start_spawner

    run_dir = folder / "run"
    spawner = await start_spawner(
        settings, run_dir=run_dir, views_dir=folder / "views", refused=refused
    )
    try:
        walls = await try_walls(spawner, run_dir) if spawner.isolates else None
        # Last: some show only when a sandbox has run.
        weaknesses = tuple(spawner.weaknesses)
        return _Tried(rung=spawner.rung, weaknesses=weaknesses, walls=walls)
    finally:
        await spawner.stop()


def _ladder(refused: Mapping[str, str], taken: str) -> Iterator[str]:
    """Every rung: what it needs, and why it was not taken."""
    from runtime.wiring.rungs import NEEDS

    for rung, needs in NEEDS.items():
        mark = "*" if rung == taken else "-"
        yield f"{mark} {rung} needs {needs}"
        if rung in refused:
            yield f"  not here: {refused[rung]}"


def _rights() -> str:
    missing = lacking(*NAMES)
    if not missing:
        return "all rights of root"
    return "no rights of root" if len(missing) == len(NAMES) else f"without {', '.join(missing)}"


def _may_make_users() -> bool:
    try:
        return int(_USER_NAMESPACES.read_text(encoding="ascii")) > 0
    except (OSError, ValueError):
        return False
