"""What the Docker engine is asked for: the body of one container, and who owns it. Pure."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.api import SandboxSpec
from sandbox.node_command import node_command, node_environment
from sandbox.sandbox_egress import EGRESS

OWNER_LABEL = "yunhan.owner"
SANDBOX_LABEL = "yunhan.sandbox"
IMAGE_LABEL = "yunhan.image"
"""Of the images; set in the Dockerfile."""

NODE_PATH = Path("/usr/local/bin/node")
BOOTSTRAP_DIR = Path("/yunhan/bootstrap")
CODE_DIR = PurePosixPath("/code")
CHANNEL_DIR = PurePosixPath("/channel")
CHANNEL = "channel"
HOSTS = "hosts"
PASSWD = "passwd"  # noqa: S105 - a file name
HOME = Path("/tmp")  # noqa: S108 - a tmpfs of the sandbox's own

_MIB = 1024 * 1024

# Naming any replaces the engine's own list, so that is here, too. /sys is the engine's only mount that
# tells of the machine: its disks, modules, other containers' control groups. Node needs none of it.
_MASKED_PATHS = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list"),
    *("/proc/timer_stats", "/sys"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerOptions:
    """What every container of one spawner has in common. The memory limit comes with the spec.

    `runtime` is the engine's name of an OCI runtime (`runc`, `runsc`), empty for its default.
    `pids_max` counts threads too; Node itself needs about 11. `log_max_kb` bounds each of the two
    files in which the engine keeps a container's output.
    """

    runtime: str = ""
    cpus: float = 1.0
    pids_max: int = 128
    files_max: int = 1024
    tmp_mb: int = 64
    tmp_inodes_max: int = 8192
    log_max_kb: int = 64


def owner_of(run_dir: Path) -> str:
    """The label value of a worker: the same in its next life, no other's on the same engine."""
    return hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:16]


def container_config(
    spec: SandboxSpec,
    options: DockerOptions,
    *,
    image: str,
    owner: str,
    uid: int,
    folder: Path,
    view: Path,
    seccomp: str,
    egress: bool,
) -> dict[str, Any]:
    """The body of the engine's "create a container" for one generic sandbox.

    `folder` (the channel's) and `view` (the code's) are mounted read-only; connecting to a socket
    needs no writable mount. `seccomp` is the profile's JSON text. `uid` is no other container's, so
    that limits that the kernel keeps per uid (inotify, pending signals, ...) are this sandbox's alone.
    """
    return {
        "Image": image,
        "Cmd": node_command(node=NODE_PATH, bootstrap_dir=BOOTSTRAP_DIR, memory_mb=spec.memory_mb),
        "Env": [f"{name}={value}" for name, value in _environment(egress=egress).items()],
        "User": f"{uid}:{uid}",
        "WorkingDir": str(HOME),
        "Hostname": "sandbox",
        # Without a network of the engine's at all a start is 150 ms shorter than with its "none"; the
        # kernel's own loopback is there, and `hosts` names it.
        "NetworkDisabled": True,
        "Labels": {OWNER_LABEL: owner, SANDBOX_LABEL: spec.sandbox_id},
        "HostConfig": _host_config(spec, options, folder, view, seccomp=seccomp, uid=uid),
    }


def _environment(*, egress: bool) -> dict[str, str]:
    return node_environment(
        node=NODE_PATH,
        home=HOME,
        channel=Path(CHANNEL_DIR / CHANNEL),
        egress=Path(CHANNEL_DIR / EGRESS) if egress else None,
    )


def _host_config(
    spec: SandboxSpec, options: DockerOptions, folder: Path, view: Path, *, seccomp: str, uid: int
) -> dict[str, Any]:
    memory = spec.memory_mb * _MIB
    # mode=1777 would be ignored where the image's own /tmp has another mode
    tmp = (
        f"rw,noexec,nosuid,nodev,size={options.tmp_mb}m,nr_inodes={options.tmp_inodes_max},"
        f"uid={uid},gid={uid},mode=0700"
    )
    return {
        # An init of the engine's: as process 1 Node would survive its own signals, aborts would look
        # like segmentation faults, and nobody would reap the children that it leaves.
        "Init": True,
        "ReadonlyRootfs": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "MaskedPaths": list(_MASKED_PATHS),
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp}"],
        "NetworkMode": "none",
        "IpcMode": "none",
        "CgroupnsMode": "private",
        # Without it the addresses of the host's name servers could be read.
        "Dns": ["127.0.0.1"],
        "DnsSearch": ["."],
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": round(options.cpus * 1e9),
        "PidsLimit": options.pids_max,
        "Ulimits": [
            {"Name": "nofile", "Soft": options.files_max, "Hard": options.files_max},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "msgqueue", "Soft": 0, "Hard": 0},
        ],
        "Tmpfs": {str(HOME): tmp},
        "Mounts": [
            _read_only(folder, CHANNEL_DIR),
            _read_only(view, CODE_DIR),
            _read_only(folder / HOSTS, PurePosixPath("/etc/hosts")),
            _read_only(folder / PASSWD, PurePosixPath("/etc/passwd")),
        ],
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": f"{options.log_max_kb}k", "max-file": "2"},
        },
        "RestartPolicy": {"Name": "no"},
        "Runtime": options.runtime,
    }


def _read_only(source: Path, target: PurePosixPath) -> dict[str, Any]:
    """A mount, not a "bind": the engine refuses a missing source instead of making an empty folder."""
    return {"Type": "bind", "Source": str(source), "Target": str(target), "ReadOnly": True}
