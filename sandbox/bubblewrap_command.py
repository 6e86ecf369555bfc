"""The command line of a bubblewrap sandbox. Pure.

The order is the order of the mounts: the root is an empty file system in memory, is filled, and is made
read-only last.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NODE_INSIDE = PurePosixPath("/opt/node/bin/node")
BOOTSTRAP_INSIDE = PurePosixPath("/opt/bootstrap")
CODE_INSIDE = PurePosixPath("/code")
FOLDER_INSIDE = PurePosixPath("/run/yunhan")
HOME_INSIDE = PurePosixPath("/tmp")  # noqa: S108 - the sandbox's own
_SHM_INSIDE = "/dev/shm"  # noqa: S108
TMPFS_INSIDE = (str(HOME_INSIDE), _SHM_INSIDE)
"""What a function can write to."""

_UID = "65534"
_ROOT_BYTES = 1024 * 1024

# Where root lays out what its sandboxes are shown: nothing there is needed afterwards.
_STAGE = "/sys"

# Joins control groups before anything else runs, so that no child is born outside; then mounts each
# file or folder on the stage.
_PREPARE = f"""
while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift
if [ "$1" != -- ]; then
  mount -t tmpfs -o mode=0755,size=256k,nosuid,nodev stage {_STAGE} || exit 125
  while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir "{_STAGE}/$2"; else : >"{_STAGE}/$2"; fi
    mount --bind "$1" "{_STAGE}/$2" || exit 125
    shift 2
  done
fi
shift
exec "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A file or folder of the host that is read-only inside at `inside`.

    With `staged_as`, a plain name, it is first put on the stage, for a uid that could not walk to it.
    """

    source: Path
    inside: PurePosixPath
    staged_as: str = ""

    def arguments(self) -> list[str]:
        source = f"{_STAGE}/{self.staged_as}" if self.staged_as else str(self.source)
        return ["--ro-bind", source, str(self.inside)]


def bubblewrap_arguments(
    *,
    binds: Sequence[Bind],
    environment: Mapping[str, str],
    seccomp_fd: int,
    sync_fd: int,
    tmp_bytes: int,
    shm_bytes: int,
    disable_userns: bool,
) -> bytes:
    """For `bwrap --args`: nothing of the host but `binds`; `sync_fd` stays open until the last process is
    gone."""
    variables = [part for item in environment.items() for part in ("--setenv", *item)]
    arguments = [
        *("--unshare-all", "--unshare-user", "--uid", _UID, "--gid", _UID),
        *(("--disable-userns",) if disable_userns else ()),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"),
        *("--hostname", "sandbox", "--sync-fd", str(sync_fd), "--seccomp", str(seccomp_fd)),
        *("--perms", "0755", "--size", str(_ROOT_BYTES), "--tmpfs", "/"),
        *("--proc", "/proc", "--dev", "/dev"),
        *(part for bind in binds for part in bind.arguments()),
        *("--perms", "0700", "--size", str(shm_bytes), "--tmpfs", _SHM_INSIDE),
        *("--perms", "0700", "--size", str(tmp_bytes), "--tmpfs", str(HOME_INSIDE)),
        *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"),
        *variables,
        *("--chdir", str(HOME_INSIDE)),
    ]
    return b"".join(os.fsencode(argument) + b"\0" for argument in arguments)


def bubblewrap_command(bwrap: Path, args_fd: int, command: Sequence[str]) -> list[str]:
    """The arguments come through a descriptor, else a function would read them, with the host's paths, in
    the command line of its first process."""
    return [str(bwrap), "--args", str(args_fd), "--", *command]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """rlimits of every process of a sandbox. `processes` counts threads; None = not set."""

    open_files: int
    processes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RootPrograms:
    """What root needs to run bwrap under another uid."""

    prlimit: Path
    setpriv: Path
    unshare: Path


def as_user(
    programs: RootPrograms,
    uid: int,
    command: Sequence[str],
    *,
    limits: ProcessLimits,
    procs: Sequence[str] = (),
    binds: Sequence[Bind] = (),
) -> list[str]:
    """`command` under a uid and group of its own, without the groups of the worker, with the staged
    `binds` mounted for it alone."""
    rlimits = (f"--nofile={limits.open_files}", f"--nproc={limits.processes}", "--core=0")
    user = ("--reuid", str(uid), "--regid", str(uid), "--clear-groups")
    staged = [part for b in binds if b.staged_as for part in (str(b.source), b.staged_as)]
    return [
        *(str(programs.unshare), "--mount", "--propagation", "private"),
        *("/bin/sh", "-c", _PREPARE, "sh", *procs, "--", *staged, "--"),
        *(str(programs.prlimit), *rlimits, "--"),
        *(str(programs.setpriv), *user, "--", *command),
    ]


def in_groups(procs: Sequence[str], command: Sequence[str]) -> list[str]:
    """`command` in the control groups that are joined by these files."""
    return ["/bin/sh", "-c", _PREPARE, "sh", *procs, "--", "--", *command]
