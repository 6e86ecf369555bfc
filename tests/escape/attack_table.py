"""The hostile functions, and for each rung what is expected to get through or does no harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.api import OutcomeKind
from tests.escape.probe import system_call

DEAD = {OutcomeKind.CRASHED, OutcomeKind.EXITED, OutcomeKind.NO_RESULT, OutcomeKind.PROTOCOL_ERROR}
OOM = {OutcomeKind.OUT_OF_MEMORY}


@dataclass(frozen=True, kw_only=True)
class Attack:
    """`may_end` are other endings than a result that show a wall. `open_on` are rungs it gets through;
    `never_on` those whose machine it would really damage. `harmless` are findings that give nothing
    away: by rung, each with the reason. `probe` is a program that comes with the code."""

    name: str
    script: str
    args: dict[str, Any] = field(default_factory=dict)
    may_end: set[OutcomeKind] = field(default_factory=set)
    open_on: set[str] = field(default_factory=set)
    never_on: set[str] = field(default_factory=set)
    harmless: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    probe: bytes = b""


PROCESS = {"process"}
GETPID = 39


def call(name: str, number: int, *args: int | str, open_on: set[str] | None = None) -> Attack:
    return Attack(
        name=name,
        script="syscall",
        probe=system_call(number, args),
        open_on=PROCESS if open_on is None else open_on,
    )


def forged(frame: str, *, ignored: bool = False) -> Attack:
    """`ignored`: it could be a late one of a run that has ended, so it does not end the sandbox."""
    return Attack(
        name=f"forge {frame}",
        script="forge",
        args={"frame": frame, "ignored": ignored},
        may_end={OutcomeKind.PROTOCOL_ERROR, OutcomeKind.RESULT_TOO_LARGE},
    )


NEW_USER = 0x10000000
TABLE = [
    Attack(
        name="files of the host",
        script="host_files",
        open_on=PROCESS,
        harmless={
            "docker": {
                "/.dockerenv": "an empty file of the engine's",
                "/channel": "the folder of its own channel",
                "/sbin": "the engine's init, nothing else",
                "/sys": "masked: an empty folder, as the row of kernel settings checks",
                "/yunhan": "the bootstrap",
            },
            "landlock": {
                "/proc/sys/kernel/hostname of the host": "a name; it may not be set, nor reached",
            },
        },
    ),
    Attack(name="files and socket of a neighbour", script="neighbour", open_on=PROCESS),
    Attack(
        name="environment of the worker",
        script="environment",
        open_on=PROCESS,
        harmless={"docker": {"HOSTNAME=sandbox": "the same name in every container"}},
    ),
    Attack(name="mounts", script="mounts", open_on=PROCESS),
    Attack(
        name="kernel settings and devices",
        script="proc",
        open_on=PROCESS,
        harmless={
            "docker": {
                f"/proc/1/{name} r+": "its own init: the same user, limits and walls, nothing more"
                for name in ("mem", "oom_score_adj")
            },
            **{
                rung: {"/proc/interrupts r": "counters of the machine, as /proc/stat has them"}
                for rung in ("bubblewrap", "bubblewrap-watcher", "landlock")
            },
        },
    ),
    Attack(
        name="signals to others",
        script="signals",
        open_on=PROCESS,
        harmless={"docker": {"docker-init": "its own init, whose end is the sandbox's end"}},
    ),
    Attack(name="kill everything", script="kill_all", may_end=DEAD, never_on=PROCESS),
    Attack(name="kill the first process", script="kill_init", may_end=DEAD, never_on=PROCESS),
    Attack(name="network and abstract sockets", script="network", open_on=PROCESS),
    Attack(name="what the gate must not let through", script="egress", open_on=PROCESS),
    Attack(name="memory in the heap", script="memory_heap", may_end=OOM),
    Attack(name="memory in buffers", script="memory_buffers", may_end=OOM, never_on=PROCESS),
    Attack(name="memory in children", script="memory_children", may_end=OOM, never_on=PROCESS),
    Attack(name="fork bomb", script="fork_bomb", may_end=OOM | DEAD, never_on=PROCESS),
    *(
        Attack(
            name=f"fill {folder}",
            script="fill",
            args={"folder": folder, "maxMb": max_mb},
            may_end=OOM,
            never_on=PROCESS,
        )
        for folder, max_mb in {
            "/tmp": 64,
            "/dev/shm": 16,
            "/dev": 0,
            "/": 0,
            "/run": 0,
            "/sys": 0,
        }.items()
    ),
    Attack(
        name="a million files in /tmp",
        script="fill",
        args={"folder": "/tmp", "files": 1_000_000},
        may_end=OOM,
        never_on=PROCESS,
    ),
    Attack(
        name="message queues",
        script="fill",
        args={"folder": "/dev/mqueue", "files": 1},
        never_on=PROCESS,
    ),
    Attack(name="write code, bootstrap, system", script="write_inside", open_on=PROCESS),
    Attack(
        name="inherited descriptors",
        script="descriptors",
        open_on=PROCESS,
        harmless={
            rung: {"/dev/urandom": "opened by the crypto library, for everybody to read"}
            for rung in ("bubblewrap", "bubblewrap-watcher", "docker", "landlock")
        },
    ),
    Attack(name="set-id bits and other uids", script="set_id", open_on=PROCESS),
    Attack(name="capabilities and flags", script="status", open_on=PROCESS),
    Attack(name="core dumps", script="core_dump"),
    Attack(name="terminals", script="terminal", open_on=PROCESS),
    Attack(
        name="a program in /tmp",
        script="run_from_tmp",
        probe=system_call(GETPID),
        # No promise there: it gets no further than Node itself, which runs any code.
        open_on={"process", "bubblewrap", "bubblewrap-watcher", "landlock"},
    ),
    Attack(name="garbage on every descriptor", script="garbage", may_end=DEAD),
    *(
        forged(frame)
        for frame in (
            *("a result of another invocation", "a second greeting", "a second bind"),
            *("a frame of the worker", "a header without end", "a payload without end"),
            *("a result beyond its bound", "numbers that are none", "a deep header"),
        )
    ),
    forged("a call of another invocation", ignored=True),
    forged("a log of another invocation", ignored=True),
    Attack(name="builtins replaced and poisoned", script="pollute", may_end=DEAD),
    Attack(name="a child that stays", script="survivor", never_on=PROCESS),
    call("ptrace", 101, 16, "pid"),
    call("process_vm_readv", 310, "pid", "pointer", 1, "pointer", 1, 0),
    call("keyctl", 250, 0, -4, 1),
    call("add_key", 248, "pointer", "pointer", 0, 0, -4),
    call("vsock socket", 41, 40, 1, 0),
    call("netlink socket", 41, 16, 3, 0),
    call("packet socket", 41, 17, 3, 0),
    call("raw socket", 41, 2, 3, 1),
    call("kernel crypto socket", 41, 38, 5, 0),
    call("io_uring", 425, 8, "pointer"),
    call("unshare user namespace", 272, NEW_USER),
    call("clone into a user namespace", 56, NEW_USER | 17, 0, 0, 0, 0),
    call("clone3", 435, "pointer", 64),
    call("mount", 165, 0, 0, 0, 0, 0),
    call("new mount interface", 430, "pointer", 0),
    call("chroot", 161, "pointer"),
    call("pivot_root", 155, "pointer", "pointer"),
    call("open_by_handle_at", 304, -1, "pointer", 0),
    call("mknod", 133, "pointer", 0o020666, 0x101),
    call("bpf", 321, 0, "pointer", 48),
    call("perf_event_open", 298, "pointer", 0, -1, -1, 0),
    call("userfaultfd", 323, 0),
    call("memory that belongs to nobody", 319, "pointer", 0),
    call("system V shared memory", 29, 0, 4096, 0o1600),
    call("set the clock", 227, 0, 0),
    call("kernel log", 103, 10, 0, 0),
    call("x32 system call", 0x40000000 | GETPID, open_on=set()),
    call("a system call of tomorrow", 600, open_on=set()),
]
