"""The filter, run by a small interpreter of the language that the kernel runs it in."""

from __future__ import annotations

import errno
import struct

import pytest

from sandbox.api import SandboxError
from sandbox.seccomp import filter_program
from sandbox.syscall_numbers import NUMBERS

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def verdict(machine: str, number: int, *args: int, arch: int | None = None) -> int:
    data = struct.pack(
        "<IIQ6Q", number, ARCH[machine] if arch is None else arch, 0, *args, *[0] * (6 - len(args))
    )
    steps = list(struct.iter_unpack("<HBBI", filter_program(machine)))
    at = value = 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
        elif code == 0x06:
            return int(operand)
        else:
            hit = {0x15: value == operand, 0x25: value > operand, 0x45: bool(value & operand)}[code]
            at += if_true if hit else if_false


def number_of(name: str, machine: str) -> int:
    number = NUMBERS[name][list(ARCH).index(machine)]
    assert number is not None
    return number


@pytest.fixture(params=ARCH)
def machine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("name", ["ptrace", "keyctl", "unshare", "mount", "bpf", "memfd_create"])
def test_denies_what_node_never_needs(machine: str, name: str) -> None:
    assert verdict(machine, number_of(name, machine)) == ERROR | errno.EPERM


@pytest.mark.parametrize("name", ["io_uring_setup", "clone3"])
def test_what_has_an_older_way_is_absent(machine: str, name: str) -> None:
    assert verdict(machine, number_of(name, machine)) == ERROR | errno.ENOSYS


@pytest.mark.parametrize("family", range(46))
def test_allows_three_address_families(machine: str, family: int) -> None:
    expected = ALLOW if family in {1, 2, 10} else ERROR | errno.EAFNOSUPPORT
    assert verdict(machine, number_of("socket", machine), family) == expected


@pytest.mark.parametrize(
    ("name", "args", "allowed"),
    [
        ("clone", (0x003D0F00,), True),
        ("clone", (0x10000000,), False),
        ("clone", (0x00020011,), False),
        ("fchmod", (3, 0o755), True),
        ("fchmod", (3, 0o4755), False),
        ("fchmodat", (3, 0, 0o2755), False),
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5412), False),
        ("ioctl", (0, 0x541C), False),
        ("personality", (0xFFFFFFFF,), True),
        ("personality", (0x0040000,), False),
        ("socketpair", (1,), True),
        ("socketpair", (2,), False),
        ("setsockopt", (3, 1, 2), True),
        ("setsockopt", (3, 1, 7), False),
        ("setsockopt", (3, 1, 8), False),
    ],
)
def test_judges_by_arguments(machine: str, name: str, args: tuple[int, ...], allowed: bool) -> None:
    expected = {ALLOW} if allowed else {ERROR | errno.EPERM, ERROR | errno.EAFNOSUPPORT}
    assert verdict(machine, number_of(name, machine), *args) in expected


def test_ordinary_calls_pass(machine: str) -> None:
    read = {"x86_64": 0, "aarch64": 63}[machine]
    assert verdict(machine, read) == ALLOW


def test_another_machine_code_is_killed_and_x32_and_later_calls_are_absent() -> None:
    assert verdict("x86_64", 0, arch=0x40000003) == KILL
    assert verdict("x86_64", 0x40000000) == ERROR | errno.ENOSYS
    assert verdict("x86_64", 463) == ERROR | errno.ENOSYS


def test_refuses_a_machine_that_it_was_not_written_for() -> None:
    with pytest.raises(SandboxError, match="riscv64"):
        filter_program("riscv64")
