"""The seccomp filter of a sandbox, as the bytes that `bwrap --seccomp` and `prctl` take. Pure.

The filter is the second wall behind namespaces and missing capabilities: it closes what those leave
open (ptrace, keyrings, io_uring, address families of the kernel's own, nested user namespaces). What
Node and common native packages use stays allowed. The language is classic BPF over
`struct seccomp_data`: number at 0, machine at 4, arguments from 16, eight bytes each, little endian.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sandbox.api import SandboxError
from sandbox.syscall_numbers import NEWEST_KNOWN, NUMBERS

# (column of NUMBERS, AUDIT_ARCH_*)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_RETURN = 0x06  # BPF_RET | BPF_K
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_ABOVE = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K

_KILL = 0x80000000
_ERROR = 0x00050000
_ALLOW = 0x7FFF0000

_NUMBER_AT = 0
_MACHINE_AT = 4
# System calls of the x32 ABI on x86_64 have this bit: the same calls by other numbers.
_X32_BIT = 0x40000000

_NAMESPACE_FLAGS = 0x7E020080  # CLONE_NEW{USER,PID,NET,IPC,UTS,CGROUP}, NEWNS, NEWTIME
_SET_ID_BITS = 0o6000
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_AF_UNIX = 1
# SO_SNDBUF, SO_RCVBUF: what a watcher of memory counts for each socket would be too little.
_BUFFER_SIZES = (7, 8)
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_PERSONALITIES = (0, 0xFFFFFFFF)  # the usual one, and the question which one it is

# Answered with EPERM.
_DENIED = (
    # other processes and the kernel's insides
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease"),
    *("kcmp", "pidfd_getfd", "perf_event_open", "bpf", "userfaultfd", "lookup_dcookie", "syslog"),
    # keyrings are shared by all processes of a uid, whatever their namespaces
    *("add_key", "request_key", "keyctl"),
    # namespaces, mounts, files by handle
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    *("name_to_handle_at", "open_by_handle_at", "fanotify_init", "mknod", "mknodat"),
    # the machine
    *("acct", "adjtimex", "clock_adjtime", "clock_settime", "settimeofday", "reboot", "vhangup"),
    *("swapon", "swapoff", "quotactl", "quotactl_fd", "sethostname", "setdomainname"),
    *("init_module", "finit_module", "delete_module", "create_module", "query_module"),
    *("get_kernel_syms", "kexec_load", "kexec_file_load", "ioperm", "iopl", "nfsservctl"),
    # old or rare, with a history of holes
    *("_sysctl", "modify_ldt", "remap_file_pages", "sysfs", "uselib", "ustat", "vmsplice"),
    *("mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node"),
    # memory that belongs to no process: a watcher of processes would not see it
    *("memfd_create", "memfd_secret", "shmget", "semget", "msgget", "mq_open"),
)

# Answered with ENOSYS, so that callers use the older way. clone3 hides its flags from a filter, and
# the older `clone` shows them; libuv does without io_uring.
_ABSENT = (
    "clone3",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "io_setup",
    "fchmodat2",
)


@dataclass(frozen=True, slots=True)
class _Step:
    code: int
    value: int
    if_true: int = 0
    if_false: int = 0

    def pack(self) -> bytes:
        return struct.pack("<HBBI", self.code, self.if_true, self.if_false, self.value)


def _argument_at(index: int) -> int:
    return 16 + 8 * index


def _error(number: int) -> _Step:
    return _Step(_RETURN, _ERROR | number)


def _require_one_of(argument: int, values: Sequence[int], refusal: int) -> list[_Step]:
    tests = [
        _Step(_JUMP_EQUAL, value, len(values) - i) for i, value in enumerate(values)
    ]  # to ALLOW, which follows the refusal
    return [_Step(_LOAD, _argument_at(argument)), *tests, _error(refusal), _Step(_RETURN, _ALLOW)]


def _refuse_one_of(argument: int, values: Sequence[int]) -> list[_Step]:
    tests = [
        _Step(_JUMP_EQUAL, value, len(values) - i) for i, value in enumerate(values)
    ]  # to the refusal, which follows ALLOW
    return [
        _Step(_LOAD, _argument_at(argument)),
        *tests,
        _Step(_RETURN, _ALLOW),
        _error(errno.EPERM),
    ]


def _refuse_bits(argument: int, bits: int) -> list[_Step]:
    return [
        _Step(_LOAD, _argument_at(argument)),
        _Step(_JUMP_ANY_BIT, bits, 0, 1),
        _error(errno.EPERM),
        _Step(_RETURN, _ALLOW),
    ]


_BY_ARGUMENT: dict[str, Callable[[], list[_Step]]] = {
    "socket": lambda: _require_one_of(0, _FAMILIES, errno.EAFNOSUPPORT),
    "socketpair": lambda: _require_one_of(0, (_AF_UNIX,), errno.EAFNOSUPPORT),
    "setsockopt": lambda: _refuse_one_of(2, _BUFFER_SIZES),
    "personality": lambda: _require_one_of(0, _PERSONALITIES, errno.EPERM),
    "clone": lambda: _refuse_bits(0, _NAMESPACE_FLAGS),
    "ioctl": lambda: _refuse_one_of(1, _TERMINAL_INJECTION),
    "chmod": lambda: _refuse_bits(1, _SET_ID_BITS),
    "fchmod": lambda: _refuse_bits(1, _SET_ID_BITS),
    "fchmodat": lambda: _refuse_bits(2, _SET_ID_BITS),
}


def filter_program(machine: str) -> bytes:
    """The filter for `machine`, as `os.uname` names it: an array of `struct sock_filter`.

    Raises SandboxError for a machine that it was not written for.
    """
    if machine not in _MACHINES:
        raise SandboxError(
            f"there is no seccomp filter for {machine} machines, only for {', '.join(_MACHINES)}.",
            what_next="Use the docker rung, which brings its own.",
        )
    column, audit_arch = _MACHINES[machine]
    steps = [
        _Step(_LOAD, _MACHINE_AT),
        _Step(_JUMP_EQUAL, audit_arch, 1, 0),
        _Step(_RETURN, _KILL),
        _Step(_LOAD, _NUMBER_AT),
        _Step(_JUMP_ANY_BIT, _X32_BIT, 0, 1),
        _error(errno.ENOSYS),
        _Step(_JUMP_ABOVE, NEWEST_KNOWN, 0, 1),
        _error(errno.ENOSYS),
    ]
    rules: list[tuple[str, list[_Step]]] = [
        *((name, [_error(errno.ENOSYS)]) for name in _ABSENT),
        *((name, [_error(errno.EPERM)]) for name in _DENIED),
        *((name, rule()) for name, rule in _BY_ARGUMENT.items()),
    ]
    for name, body in rules:
        number = NUMBERS[name][column]
        if number is not None:
            # Each body ends in a return, so the next rule is reached only by its skip.
            steps += [_Step(_JUMP_EQUAL, number, 0, len(body)), *body]
    steps.append(_Step(_RETURN, _ALLOW))
    return b"".join(step.pack() for step in steps)
