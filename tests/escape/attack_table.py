"""The hostile functions, and for each rung what is expected to get through or does no harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.api import OutcomeKind
from tests.escape.probe import fork_bomb, system_call
from tests.escape.sandboxes import MEMORY_MB
from tests.escape.system_calls import GETPID, MESSAGE_QUEUE, SYSTEM_CALLS, UNKNOWN_CALLS

DEAD = {OutcomeKind.CRASHED, OutcomeKind.EXITED, OutcomeKind.NO_RESULT, OutcomeKind.PROTOCOL_ERROR}
OOM = {OutcomeKind.OUT_OF_MEMORY}
# Of a SIGKILL nobody can say whose it was.
KILLED = DEAD | {OutcomeKind.SANDBOX_LOST}

PROCESS = {"process"}
# Of a sandbox by default, threads included; with a watcher half as many. Node itself has about a dozen.
PIDS_MAX = 128
PROCESSES_AT_LEAST = 40
FORK_GENERATIONS = 9
# The kernel keeps about so much for an empty file in memory.
FILE_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class Attack:
    """`does` is what it must at least have done, by what it says itself; something it must always have.
    `may_end` are other endings than a result that show a wall. `open_on` are rungs it gets through.
    `harmless` are findings that give nothing away: by rung, each with the reason. `probe` is a program
    that comes with the code.

    Where there are no walls (`process`) an attack has to get through, which shows that it can: with
    `control` as arguments where the usual ones would harm the machine, and not at all where `uncontrolled`
    says why ("$victim" and "$folder" are a process and a folder of the test's own)."""

    name: str
    script: str
    args: dict[str, Any] = field(default_factory=dict)
    does: Mapping[str, int] = field(default_factory=dict)
    may_end: set[OutcomeKind] = field(default_factory=set)
    open_on: set[str] = field(default_factory=set)
    harmless: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    control: dict[str, Any] | None = None
    uncontrolled: str = ""
    probe: bytes = b""
    memory_mb: int = MEMORY_MB


def call(name: str, number: int, *args: int | str, open_on: set[str], data: bytes = b"") -> Attack:
    return Attack(
        name=name,
        script="syscall",
        does={"calls": 1},
        probe=system_call(number, args, data=data),
        open_on=open_on,
    )


def forged(frame: str, *, ignored: bool = False) -> Attack:
    """`ignored`: it could be a late one of a run that has ended, so it does not end the sandbox."""
    return Attack(
        name=f"forge {frame}",
        script="forge",
        args={"frame": frame, "ignored": ignored},
        does={"frames": 1} if ignored else {},
        may_end=set() if ignored else {OutcomeKind.PROTOCOL_ERROR, OutcomeKind.RESULT_TOO_LARGE},
    )


def ending(frame: str, kind: OutcomeKind) -> Attack:
    """After it the process ends, and as what it ends cannot be hidden."""
    return Attack(name=f"forge {frame}", script="forge", args={"frame": frame}, may_end={kind})


def full(folder: str, max_mb: int, does: Mapping[str, int], memory_mb: int = 256) -> Attack:
    """Memory is no limit here: the size of the place is."""
    return Attack(
        name=f"fill {folder}",
        script="fill",
        args={"folder": folder, "mb": 400, "max": max_mb},
        does=does,
        open_on=PROCESS,
        control={"folder": "$folder", "mb": 6, "max": 4},
        memory_mb=memory_mb,
    )


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
    Attack(
        name="kill everything",
        script="kill_all",
        does={"signals": 1},
        may_end=KILLED,
        uncontrolled="without walls it would end every process of the machine; that signals reach others"
        " is shown by the row of signals",
    ),
    Attack(
        name="kill the first process",
        script="kill_init",
        does={"signals": 1},
        may_end=KILLED,
        open_on=PROCESS,
        control={"pids": ["$victim"]},
    ),
    Attack(
        name="network and abstract sockets",
        script="network",
        does={"connectionsOfChild": 7, "datagramsOfChild": 1},
        open_on=PROCESS,
    ),
    Attack(name="what the gate must not let through", script="egress", open_on=PROCESS),
    Attack(name="memory in the heap", script="memory_heap", may_end=OOM),
    Attack(
        name="memory in buffers",
        script="memory_buffers",
        args={"mb": 1920},
        may_end=OOM,
        open_on=PROCESS,
        control={"mb": 2 * MEMORY_MB},
    ),
    Attack(
        name="memory in children",
        script="memory_children",
        does={"children": 8},
        may_end=OOM,
        open_on=PROCESS,
    ),
    Attack(
        name="memory in socket buffers",
        script="socket_buffers",
        args={"max": MEMORY_MB},
        does={"MB": 16},
        may_end=OOM,
        open_on=PROCESS,
    ),
    Attack(
        name="fork bomb",
        script="fork_bomb",
        args={"pids": PIDS_MAX},
        does={"processes": PROCESSES_AT_LEAST},
        open_on=PROCESS,
        probe=fork_bomb(FORK_GENERATIONS),
        memory_mb=512,
    ),
    full("/tmp", 64, {"MB": 48}),
    full("/dev/shm", 16, {"attempts": 1}),
    *(full(folder, 0, {"refusals": 1}) for folder in ("/dev", "/", "/run", "/sys")),
    Attack(
        name="a million files in /tmp",
        script="fill",
        args={"folder": "/tmp", "files": 1_000_000, "max": MEMORY_MB * 1024 * 1024 // FILE_BYTES},
        does={"files": 4096},
        may_end=OOM,
        open_on=PROCESS,
        control={"folder": "$folder", "files": 60, "max": 40},
    ),
    Attack(
        name="message queues by files",
        script="fill",
        args={"folder": "/dev/mqueue", "files": 1, "max": 0},
        does={"refusals": 1},
        open_on=PROCESS,
        control={"folder": "$folder", "files": 1, "max": 0},
    ),
    Attack(
        name="write code, bootstrap, system",
        script="write_inside",
        open_on=PROCESS,
    ),
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
            *("ends without end", "room beyond the bound", "a long call without room", "a grant"),
        )
    ),
    *(
        ending(f"an end of nobody, then {then}", kind)
        for then, kind in {
            "a crash": OutcomeKind.CRASHED,
            "that exit": OutcomeKind.EXITED,
            "another exit": OutcomeKind.EXITED,
            "a full heap": OutcomeKind.OUT_OF_MEMORY,
        }.items()
    ),
    forged("an end of another invocation, twice", ignored=True),
    forged("room for a call of another invocation", ignored=True),
    forged("a call of another invocation", ignored=True),
    forged("a log of another invocation", ignored=True),
    Attack(
        name="builtins replaced and poisoned",
        script="pollute",
        does={"replaced": 35, "poisoned": 1},
    ),
    Attack(name="a child that stays", script="survivor", does={"children": 1}, open_on=PROCESS),
    *(
        call(name, int(number), *args, open_on=PROCESS, data=MESSAGE_QUEUE)
        for name, (number, *args) in SYSTEM_CALLS.items()
    ),
    *(call(name, number, *args, open_on=set()) for name, (number, *args) in UNKNOWN_CALLS.items()),
]
