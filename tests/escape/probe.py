"""Small programs for x86_64: one system call that Node itself would never make, or a fork bomb."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_BASE = 0x400000
_HEADERS = 120
_SPARE = 256
_GETPPID = 110
_EXIT_GROUP = 231

_SYSCALL = b"\x0f\x05"
_LOAD_RAX = b"\x48\xb8"
# For each argument's register: load a constant, copy rax.
_REGISTERS = (
    (b"\x48\xbf", b"\x48\x89\xc7"),  # rdi
    (b"\x48\xbe", b"\x48\x89\xc6"),  # rsi
    (b"\x48\xba", b"\x48\x89\xc2"),  # rdx
    (b"\x49\xba", b"\x49\x89\xc2"),  # r10
    (b"\x49\xb8", b"\x49\x89\xc0"),  # r8
    (b"\x49\xb9", b"\x49\x89\xc1"),  # r9
)
_EXIT_WITH_ERROR = (
    b"\x31\xff"  # xor edi, edi
    b"\x48\x85\xc0\x79\x04"  # test rax, rax; jns +4
    b"\x89\xc7\xf7\xdf"  # mov edi, eax; neg edi
    b"\xb8" + struct.pack("<I", _EXIT_GROUP) + _SYSCALL
)


_FORK_BOMB = (
    b"\xbb%s"  # mov ebx, generations
    b"\xb8\x39\x00\x00\x00" + _SYSCALL + b"\xff\xcb\x75\xf5"  # fork; dec ebx; jnz back
    b"\xb8\x22\x00\x00\x00" + _SYSCALL + b"\xeb\xf7"  # pause, again and again
)


def system_call(number: int, args: Sequence[int | str] = (), *, data: bytes = b"") -> bytes:
    """It exits with the error number, 0 for none. `"pid"` is the process that started it, `"pointer"` points
    to `data` and zeros, 256 bytes."""
    code = b""
    for value, (load, copy_rax) in zip(args, _REGISTERS, strict=False):
        if value == "pid":
            code += _LOAD_RAX + _long(_GETPPID) + _SYSCALL + copy_rax
        else:
            code += load + _long(_BASE + _HEADERS if value == "pointer" else int(value))
    return _program(code + _LOAD_RAX + _long(number) + _SYSCALL + _EXIT_WITH_ERROR, data)


def fork_bomb(generations: int) -> bytes:
    """Doubles itself so many times, as far as it is let, and stays."""
    return _program(_FORK_BOMB % struct.pack("<I", generations), b"")


def _program(code: bytes, data: bytes) -> bytes:
    size = _HEADERS + _SPARE + len(code)
    entry = _BASE + _HEADERS + _SPARE
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(2, 62, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, size, 4096)
    return header + segment + data.ljust(_SPARE, b"\0") + code


def _long(value: int) -> bytes:
    return struct.pack("<Q", value & 0xFFFFFFFFFFFFFFFF)
