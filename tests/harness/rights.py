"""Starts programs with fewer rights than the tests have: as an ordinary user, or as root without some."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.capabilities import lacking

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
DOCKER_CAPABILITIES = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap"),
)
"""What root has in a container to which nothing was added."""

# Opens the way to a Python that lies below somebody's closed home, for the new process alone.
_OPEN_WAY = """
mount --rbind "$2" "$3" && mount -t tmpfs -o mode=0755 way "$1" && mkdir -p "$2" &&
mount --move "$3" "$2" || exit 125
shift 3
exec "$@"
"""


def needs_root() -> None:
    """Skip where nobody may change who a program is."""
    if os.geteuid() != 0 or lacking("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID"):
        pytest.skip("only root with all rights can start programs as somebody else")
    if shutil.which("setpriv") is None or shutil.which("unshare") is None:
        pytest.skip("the programs setpriv and unshare (util-linux) are missing")


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """An empty folder with a short path that the ordinary user owns."""
    with tempfile.TemporaryDirectory(prefix="y-") as name:
        os.chown(name, NOBODY, NOBODY)
        yield Path(name)


def as_nobody(folder: Path, command: Sequence[str]) -> list[str]:
    """`command` as an ordinary user without groups and rights; `folder` is one of `folder_of_nobody`."""
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
    python = Path(sys.base_prefix).resolve()
    closed = [place for place in reversed(python.parents) if not place.stat().st_mode & 0o001]
    if not closed:
        return user
    stage = folder / "way"
    stage.mkdir()
    return [
        *("unshare", "--mount", "--propagation", "private", "sh", "-c", _OPEN_WAY, "sh"),
        *(str(closed[0]), str(python), str(stage), *user),
    ]


def as_root_with(capabilities: Sequence[str], command: Sequence[str]) -> list[str]:
    """`command` as root that has these rights only."""
    bounding = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", f"--bounding-set={bounding}", *command]


def run(command: Sequence[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """To its end, in `folder`, with nothing but `variables` and what every program needs."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
