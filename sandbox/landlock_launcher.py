"""Builds the walls of one Landlock sandbox around itself and becomes Node. A program of its own.

Started by root as `python -I -S -B launcher.pyc FD`; FD holds the plan that `sandbox.landlock_plan`
made. It decides nothing and imports nothing of the project. Three processes come of it:

    supervisor   in the worker's process group, dies with the worker, ends as Node ended
      init       first process of the sandbox's own process namespace: with it everything inside dies
        node     with its own uid, no capability, Landlock and the filter

Supervisor and init only wait, under a uid that no function has, without capabilities.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import struct
import sys

# `typing`, `signal` and `enum` behind it would take longer to load than the walls take to build.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeAlias

    _Plan: TypeAlias = dict[str, Any]

_FAILED = 125

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_NEW_USERS = 0x10000000
_QUIET = _MS_NOSUID | _MS_NODEV

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 22, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITIES_VERSION = 0x20080522
_LAST_CAPABILITY = 63

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_RULE_PATH_BENEATH = 1
# The same numbers on all machines, unlike these two.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}

_SIGKILL = 9
_SIGNALS_OF_PYTHON = (2, 13, 25)  # SIGINT, SIGPIPE, SIGXFSZ

_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, function: Any, *arguments: int | bytes | None) -> int:
    """A function of libc; numbers are as wide as a register. Raises OSError that names `what`."""
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(function(*wide))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _prctl(what: str, option: int, *arguments: int) -> None:
    _call(what, _libc.prctl, option, *arguments, *[0] * (4 - len(arguments)))


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _call(
        f"mounting {kind or source} at {target}",
        _libc.mount,
        os.fsencode(source),
        os.fsencode(target),
        kind.encode(),
        flags,
        options.encode(),
    )


# --- files ------------------------------------------------------------------------------------------


def _kept_flags(plan: _Plan, target: str) -> int:
    """A user namespace may not take back what the file system of the host forbids."""
    return os.statvfs(target).f_flag & (_QUIET | _MS_NOEXEC) if plan["maps"] else 0


def _build_root(plan: _Plan) -> None:
    """A root in memory with nothing but what the plan shows, made ready at `stage`."""
    stage: str = plan["stage"]
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", stage, "tmpfs", _QUIET, f"mode=0755,size={plan['root_bytes']}")
    for source, inside, is_device in plan["binds"]:
        target = stage + inside
        if os.path.isdir(source):  # noqa: PTH112 - pathlib would cost more than all the mounts
            os.makedirs(target, exist_ok=True)  # noqa: PTH103
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
        _mount(source, target, "", _MS_BIND)
        kept_from = (_MS_NOEXEC if is_device else _MS_NODEV) | _kept_flags(plan, target)
        _mount("none", target, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | kept_from)
    for target, link in plan["links"]:
        os.symlink(target, stage + link)  # noqa: PTH211
    for inside, size in plan["tmpfs"]:
        os.makedirs(stage + inside, exist_ok=True)  # noqa: PTH103
        owner = f"mode=0700,uid={plan['uid']},gid={plan['uid']}"
        bounds = f"size={size},nr_inodes={max(size // 4096, 16)}"
        _mount("tmpfs", stage + inside, "tmpfs", _QUIET, f"{owner},{bounds}")
    os.mkdir(stage + "/proc")  # noqa: PTH102


def _enter_root(stage: str) -> None:
    """Only in the new process namespace: that is what its /proc shows. Others' processes stay hidden."""
    _mount("proc", stage + "/proc", "proc", _QUIET | _MS_NOEXEC | _MS_RDONLY, "hidepid=2")
    os.chdir(stage)
    _call("pivot_root", _libc.syscall, _PIVOT_ROOT[os.uname().machine], b".", b".")
    _call("leaving the old root", _libc.umount2, b".", _MNT_DETACH)
    os.chdir("/")
    _mount("none", "/", "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _QUIET)


# --- rights -----------------------------------------------------------------------------------------


def _become(uid: int) -> None:
    """That uid and group, no other group, no capability, for good."""
    for capability in range(_LAST_CAPABILITY + 1):
        # Those that this kernel does not know are refused.
        _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), *[ctypes.c_ulong(0)] * 3)
    _prctl("ambient capabilities", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    header = struct.pack("Ii", _CAPABILITIES_VERSION, 0)
    _call("capset", _libc.syscall, _CAPSET[os.uname().machine], header, bytes(24))
    _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)


def _ruleset(plan: _Plan) -> int:
    handled = struct.pack("QQQ", *plan["handled"])
    ruleset = _call("landlock", _libc.syscall, _LANDLOCK_CREATE_RULESET, handled, len(handled), 0)
    for path, rights in plan["rules"]:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights, parent)
        _call(
            f"the Landlock rule of {path}",
            _libc.syscall,
            *(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0),
        )
        os.close(parent)
    return ruleset


def _filter_calls(program: bytes) -> None:
    steps = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(
        struct.pack("@HxxxxxxQ", len(program) // 8, ctypes.addressof(steps))
    )
    _prctl("seccomp", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(head))


def _run_node(plan: _Plan, groups: list[int]) -> NoReturn:
    # A group of its own: what it signals as "my group" is not the worker's.
    os.setsid()
    for group in groups:
        os.write(group, b"0")
    os.closerange(3, 64)
    for limit, value in plan["rlimits"]:
        # Never above what this machine allows: that would take one more capability.
        hard = resource.getrlimit(limit)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (bound, bound))
    ruleset = _ruleset(plan)
    _become(plan["uid"])
    _call("landlock", _libc.syscall, _LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    os.chdir(plan["working_dir"])
    for program in plan["filters"]:
        _filter_calls(program)
    command: list[str] = plan["command"]
    os.execve(command[0], command, plan["environment"])  # noqa: S606 - what the plan is about


def _enter_user_namespace(maps: dict[str, str]) -> None:
    """In it this root may mount; everybody keeps his number. Only a process outside can say so."""
    reading, writing = os.pipe()
    outside = os.fork()
    if outside == 0:
        os.close(writing)
        if os.read(reading, 1):
            for name, ranges in maps.items():
                with open(f"/proc/{os.getppid()}/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                    file.write(ranges)
        os._exit(0)
    os.close(reading)
    _call("a user namespace", _libc.unshare, _NEW_USERS)
    os.write(writing, b"+")
    os.close(writing)
    if os.waitpid(outside, 0)[1] != 0:
        os._exit(_FAILED)  # it has said why


# --- the three processes ----------------------------------------------------------------------------


def _init(plan: _Plan, groups: list[int], report: int) -> NoReturn:
    _enter_root(plan["stage"])
    node = os.fork()
    if node == 0:
        _run_node(plan, groups)
    for group in groups:
        os.close(group)
    _become(plan["init_uid"])
    _prctl("the parent's death", _PR_SET_PDEATHSIG, _SIGKILL)
    os.write(report, b"+")  # ends it when the supervisor is gone already
    while True:
        pid, status = os.wait()
        if pid == node:
            os.write(report, struct.pack("i", status))
            os._exit(0)


def _supervise(plan: _Plan, init: int, report: int) -> NoReturn:
    _become(plan["init_uid"])
    _prctl("the parent's death", _PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != plan["worker"]:
        os._exit(_FAILED)
    _, init_status = os.waitpid(init, 0)
    said = os.read(report, 16)[1:]
    status = struct.unpack("i", said)[0] if said else init_status
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def _main() -> NoReturn:
    with os.fdopen(int(sys.argv[1]), "rb") as handed:
        plan: _Plan = marshal.load(handed)  # noqa: S302 - written by the worker that started us
    # Python changed these: the supervisor is to die of what Node died of, and Node to inherit none.
    for number in _SIGNALS_OF_PYTHON:
        _libc.signal(number, None)
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Opened while the host's files can still be seen.
    groups = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in plan["joined"]]
    if plan["maps"]:
        _enter_user_namespace(plan["maps"])
    _call("new namespaces", _libc.unshare, plan["namespaces"])
    _build_root(plan)
    reading, writing = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(reading)
        _init(plan, groups, writing)
    os.close(writing)
    for group in groups:
        os.close(group)
    _supervise(plan, init, reading)


if __name__ == "__main__":
    try:
        _main()
    except OSError as error:
        # In whichever of them: without its part there is no sandbox.
        os.write(2, f"sandbox launcher: {error.filename or 'error'}: {error.strerror}\n".encode())
        os._exit(_FAILED)
