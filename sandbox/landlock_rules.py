"""What Landlock lets a sandbox do with files, as numbers of the kernel. Pure, but for `landlock_abi`.

The kernel counts the versions of its interface (ABI); each adds rights that older kernels refuse to
hear of, so what is handled is cut to the version that is there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sandbox.api import SandboxError

_CREATE_RULESET = 444
_QUESTION_VERSION = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_ALL_OF_VERSION_1 = (1 << 13) - 1
_ADDED = {2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV}

_TCP_SINCE, _ALL_TCP = 4, 3
SCOPES_SINCE = 6
"""From this version on abstract sockets and signals end at the sandbox."""
_ALL_SCOPES = 3

_ENDS = (
    (errno.ENOSYS, "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, Linux 5.13)"),
    (errno.EOPNOTSUPP, "Landlock is switched off at boot (the kernel's parameter lsm=)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`handled` are the sets of file, network and scope rights that end unless a rule grants them."""

    handled: tuple[int, int, int]
    rules: tuple[tuple[str, int], ...]


def landlock_abi(ask: Callable[[], int] | None = None) -> int:
    """The version of this kernel. Raises SandboxError when there is none."""
    try:
        return (ask or _ask)()
    except OSError as error:
        reason = dict(_ENDS).get(error.errno or 0, f"Landlock does not answer: {error.strerror}")
        raise SandboxError(
            f"the rung landlock does not work here: {reason}.",
            what_next="Use a kernel with Landlock, or another rung: bubblewrap or docker.",
        ) from error


def make_rules(
    abi: int,
    *,
    readable: Sequence[tuple[str, bool]],
    devices: Sequence[str],
    writable: Sequence[str],
    deny_tcp: bool,
) -> Rules:
    """Nothing but this: `readable` to read and run, with whether each is a folder; `devices` to read and
    write; `writable` folders for everything but device nodes; and to list what is there."""
    known = _ALL_OF_VERSION_1
    for version, rights in _ADDED.items():
        known |= rights if abi >= version else 0
    read = _EXECUTE | _READ_FILE
    rules = [
        ("/", _READ_DIR),
        *((path, read | _READ_DIR if is_folder else read) for path, is_folder in readable),
        *((path, _READ_FILE | _WRITE_FILE | _TRUNCATE) for path in devices),
        *((path, known & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)) for path in writable),
    ]
    return Rules(
        handled=(
            known,
            _ALL_TCP if deny_tcp and abi >= _TCP_SINCE else 0,
            _ALL_SCOPES if abi >= SCOPES_SINCE else 0,
        ),
        rules=tuple((path, rights & known) for path, rights in rules),
    )


_AF_UNIX_ONLY = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}


def unix_sockets_only(machine: str) -> bytes:
    """A seccomp filter beside the common one, for a sandbox without a network namespace of its own."""
    audit_arch, socket_call = _AF_UNIX_ONLY[machine]
    steps = [
        (0x20, 0, 0, 4),  # the machine
        (0x15, 0, 5, audit_arch),
        (0x20, 0, 0, 0),  # the call
        (0x15, 0, 3, socket_call),
        (0x20, 0, 0, 16),  # its first argument: the address family
        (0x15, 1, 0, 1),
        (0x06, 0, 0, 0x00050000 | errno.EAFNOSUPPORT),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _ask() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _QUESTION_VERSION))
    if version < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return version
