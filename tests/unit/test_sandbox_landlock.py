"""What the rung landlock decides before it builds anything."""

from __future__ import annotations

import errno
import marshal
import resource
import struct
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest

from sandbox import landlock_process, landlock_uids
from sandbox.api import SandboxError
from sandbox.bubblewrap_command import Bind
from sandbox.landlock_plan import (
    OPTIONAL_NAMESPACES,
    Inside,
    Walls,
    launcher_plan,
)
from sandbox.landlock_privileges import check_privileges, namespaces_here, own_user_namespace
from sandbox.landlock_process import LandlockProcess
from sandbox.landlock_rules import Rules, landlock_abi, make_rules, unix_sockets_only
from sandbox.landlock_uids import UidPool, check_uids
from sandbox.local_process import LocalProcess
from sandbox.walled_limits import WalledLimits

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, MAKE_CHAR, MAKE_REG = 1, 2, 4, 8, 1 << 6, 1 << 8
MAKE_BLOCK, REFER, TRUNCATE, IOCTL_DEV = 1 << 11, 1 << 13, 1 << 14, 1 << 15


# --- rules ----------------------------------------------------------------------------------------


def rules(abi: int, *, deny_tcp: bool = False) -> Rules:
    return make_rules(
        abi,
        readable=[("/code", True), ("/node", False)],
        devices=["/dev/null"],
        writable=["/tmp"],
        deny_tcp=deny_tcp,
    )


def test_what_is_only_readable_cannot_be_written() -> None:
    granted = dict(rules(7).rules)
    assert granted["/"] == READ_DIR
    assert granted["/code"] == EXECUTE | READ_FILE | READ_DIR
    assert granted["/node"] == EXECUTE | READ_FILE
    assert granted["/dev/null"] == READ_FILE | WRITE_FILE | TRUNCATE


def test_no_device_node_is_made_even_where_all_may_be_written() -> None:
    granted = dict(rules(7).rules)["/tmp"]
    assert not granted & (MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV)
    assert granted & MAKE_REG
    assert granted & REFER


@pytest.mark.parametrize(
    ("abi", "newer"),
    [(1, 0), (2, REFER), (3, REFER | TRUNCATE), (5, REFER | TRUNCATE | IOCTL_DEV)],
)
def test_a_kernel_is_asked_only_what_its_version_knows(abi: int, newer: int) -> None:
    made = rules(abi)
    assert made.handled[0] == (1 << 13) - 1 | newer
    assert all(not rights & ~made.handled[0] for _, rights in made.rules)


@pytest.mark.parametrize(
    ("abi", "deny_tcp", "network_and_scopes"),
    [
        (3, True, (0, 0)),
        (4, True, (3, 0)),
        (4, False, (0, 0)),
        (6, True, (3, 3)),
        (7, False, (0, 3)),
    ],
)
def test_network_and_scopes_by_version(
    abi: int, deny_tcp: bool, network_and_scopes: tuple[int, int]
) -> None:
    assert rules(abi, deny_tcp=deny_tcp).handled[1:] == network_and_scopes


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSYS, "no Landlock"), (errno.EOPNOTSUPP, "at boot"), (errno.EPERM, "not answer")],
)
def test_says_why_there_is_no_landlock(number: int, words: str) -> None:
    def refuse() -> int:
        raise OSError(number, "refused")

    with pytest.raises(SandboxError, match=words):
        landlock_abi(refuse)


# --- filter for machines without network namespaces -------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "arch", "number"), [("x86_64", 0xC000003E, 41), ("aarch64", 0xC00000B7, 198)]
)
@pytest.mark.parametrize(
    ("other_call", "family", "allowed"),
    [(0, 1, True), (0, 2, False), (0, 10, False), (0, 16, False), (1, 2, True)],
)
def test_only_unix_sockets(
    machine: str, arch: int, number: int, other_call: int, family: int, allowed: bool
) -> None:
    data = struct.pack("<IIQ6Q", number + other_call, arch, 0, family, *[0] * 5)
    steps = list(struct.iter_unpack("<HBBI", unix_sockets_only(machine)))
    at = value = 0
    while steps[at][0] != 0x06:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
        else:
            at += if_true if value == operand else if_false
    assert steps[at][3] == (0x7FFF0000 if allowed else 0x00050000 | errno.EAFNOSUPPORT)


# --- plan -------------------------------------------------------------------------------------------


def plan(namespaces: frozenset[str] = OPTIONAL_NAMESPACES) -> dict[str, Any]:
    walls = Walls(
        stage=Path("/run/stage"),
        abi=7,
        namespaces=namespaces,
        filters=(b"filter",),
        init_uid=7,
        limits=WalledLimits(pids=99, open_files=55),
    )
    inside = Inside(
        command=["/node", "x"],
        environment={"A": "b"},
        working_dir="/tmp",
        binds=[Bind(source=Path("/etc"), inside=PurePosixPath("/etc"))],
        uid=8,
        joined=["/group/procs"],
    )
    made: dict[str, Any] = marshal.loads(launcher_plan(walls, inside, worker=5))
    return made


def test_the_plan_is_readable_for_a_program_without_the_project() -> None:
    made = plan()
    assert made["command"] == ["/node", "x"]
    assert made["environment"] == {"A": "b"}
    assert made["joined"] == ["/group/procs"]
    assert (made["uid"], made["init_uid"], made["worker"]) == (8, 7, 5)
    assert ("/etc", "/etc", False) in made["binds"]
    assert ("/etc", EXECUTE | READ_FILE | READ_DIR) in made["rules"]
    assert (resource.RLIMIT_NPROC, 99) in made["rlimits"]
    assert (resource.RLIMIT_NOFILE, 55) in made["rlimits"]
    assert (resource.RLIMIT_CORE, 0) in made["rlimits"]


def test_only_what_lies_in_memory_can_be_written() -> None:
    made = plan()
    in_memory = {inside for inside, _ in made["tmpfs"]}
    assert {path for path, rights in made["rules"] if rights & MAKE_REG} == in_memory


def test_without_a_network_namespace_landlock_denies_tcp() -> None:
    assert plan()["handled"][1] == 0
    made = plan(OPTIONAL_NAMESPACES - {"net"})
    assert made["handled"][1] == 3
    assert plan()["namespaces"] - made["namespaces"] == 0x40000000


# --- privileges -------------------------------------------------------------------------------------


def test_needs_root() -> None:
    with pytest.raises(SandboxError, match="only root can do"):
        check_privileges(1000, ALL_RIGHTS)


ALL_RIGHTS = "CapEff:\t000001ffffffffff\n"
OF_A_CONTAINER = "CapInh:\t0\nCapEff:\t00000000a80425fb\n"
WITHOUT_SETFCAP = "CapEff:\t00000000280425fb\n"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """Limits of a kernel with user namespaces."""
    (tmp_path / "max_user_namespaces").write_text("10\n")
    return tmp_path


def test_names_the_rights_that_a_container_took(users: Path) -> None:
    check_privileges(0, ALL_RIGHTS, limits=users)
    with pytest.raises(SandboxError, match=r"misses CAP_SYS_ADMIN \(or CAP_SETFCAP and user"):
        check_privileges(0, WITHOUT_SETFCAP, limits=users)
    with pytest.raises(SandboxError, match=r"misses CAP_CHOWN, .*CAP_SETPCAP, CAP_SYS_ADMIN"):
        check_privileges(0, "CapEff:\t0000000000000000\n", limits=users)


def test_user_namespaces_stand_in_for_the_right_to_mount(users: Path) -> None:
    check_privileges(0, OF_A_CONTAINER, limits=users)
    (users / "max_user_namespaces").write_text("0\n")
    with pytest.raises(SandboxError, match="CAP_SYS_ADMIN"):
        check_privileges(0, OF_A_CONTAINER, limits=users)
    (users / "max_user_namespaces").unlink()
    with pytest.raises(SandboxError, match="CAP_SYS_ADMIN"):
        check_privileges(0, OF_A_CONTAINER, limits=users)


def test_in_its_user_namespace_everybody_keeps_his_number(tmp_path: Path) -> None:
    (tmp_path / "uid_map").write_text(
        "         0     100000      65536\n     70000          5  1\n"
    )
    (tmp_path / "gid_map").write_text("0 0 4294967295\n")
    assert own_user_namespace(OF_A_CONTAINER, process=tmp_path) == {
        "uid_map": "0 0 65536\n70000 70000 1\n",
        "gid_map": "0 0 4294967295\n",
    }
    assert own_user_namespace(ALL_RIGHTS, process=tmp_path) == {}
    assert plan()["maps"] == {}


def test_a_namespace_that_is_missing_or_limited_to_none_is_not_there(tmp_path: Path) -> None:
    for name in ("net", "ipc"):
        (tmp_path / name).touch()
    (tmp_path / "max_net_namespaces").write_text("0\n")
    (tmp_path / "max_ipc_namespaces").write_text("10\n")
    assert namespaces_here(tmp_path, tmp_path) == {"ipc"}


# --- end --------------------------------------------------------------------------------------------


async def test_a_uid_is_free_only_when_its_last_process_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looks = [True, True, False]
    monkeypatch.setattr(landlock_process, "uid_in_use", lambda uid: looks.pop(0))
    events: list[str] = []

    class Local:
        pid = 1

        async def remove(self) -> None:
            events.append(f"folder, {len(looks)} looks left")

    process = LandlockProcess(
        cast("LocalProcess", Local()),
        uid=8,
        view=tmp_path / "view",
        group=None,
        on_shown=lambda: None,
        on_removed=lambda: events.append("uid"),
    )
    await process.remove()
    await process.remove()
    assert events == ["folder, 0 looks left", "uid"]


# --- uids -------------------------------------------------------------------------------------------


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    uids: set[int] = set()
    monkeypatch.setattr(landlock_uids, "uid_in_use", uids.__contains__)
    return uids


def test_a_uid_belongs_to_one_sandbox_at_a_time(in_use: set[int]) -> None:
    pool = UidPool(range(100, 104))
    taken = [pool.take() for _ in range(3)]
    assert sorted([*taken, pool.init_uid]) == [100, 101, 102, 103]
    with pytest.raises(SandboxError, match="all 3 uids"):
        pool.take()
    pool.give_back(taken[1])
    pool.give_back(taken[1])
    assert pool.take() == taken[1]


def test_a_uid_that_still_has_a_process_is_passed_over(in_use: set[int]) -> None:
    pool = UidPool(range(100, 104))
    in_use.update({101, 103})
    assert pool.take() == 102
    with pytest.raises(SandboxError):
        pool.take()
    in_use.clear()
    assert {pool.take(), pool.take()} == {101, 103}


def test_one_that_was_just_used_comes_last(in_use: set[int]) -> None:
    pool = UidPool(range(100, 104))
    first = pool.take()
    pool.give_back(first)
    assert [pool.take() for _ in range(3)].index(first) == 2


def test_uids_that_a_container_does_not_have() -> None:
    whole = "         0          0 4294967295\n"
    check_uids(range(700_000, 700_100), whole)
    for uid_map in ("0 100000 65536\n", "0 1000 1\n1 100000 700050\n"):
        with pytest.raises(SandboxError, match="700000 to 700099"):
            check_uids(range(700_000, 700_100), uid_map)
