from __future__ import annotations

import os
from typing import Any

import pytest

from sandbox.api import SandboxError
from sandbox.spawners.docker_uids import (
    REMAPPED_UIDS,
    UIDS,
    ContainerUids,
    container_name,
    remaps_uids,
    uid_range,
)


def test_every_uid_is_given_once_until_it_comes_back() -> None:
    uids = ContainerUids(range(900_100, 900_104))
    taken = {uids.take() for _ in range(4)}
    assert taken == set(range(900_100, 900_104))
    with pytest.raises(SandboxError, match="all 4 uids"):
        uids.take()
    uids.give_back(900_102)
    uids.give_back(900_102)
    assert uids.take() == 900_102


def test_one_that_was_just_used_comes_last() -> None:
    uids = ContainerUids(range(900_100, 900_104))
    first = uids.take()
    uids.give_back(first)
    assert first not in {uids.take() for _ in range(3)}
    assert uids.take() == first


def test_a_uid_that_a_process_has_is_not_given() -> None:
    uid = os.getuid()
    if uid + 1 == 0:
        pytest.skip("no such range")
    uids = ContainerUids(range(uid, uid + 1))
    with pytest.raises(SandboxError, match="in use"):
        uids.take()


def test_after_a_skip_every_uid_can_still_be_had() -> None:
    uids = ContainerUids(range(900_100, 900_108))
    taken = set()
    for _ in range(8):
        uids.skip()
        taken.add(uids.take())
    assert taken == set(range(900_100, 900_108))


def test_a_range_is_written_as_first_and_last() -> None:
    assert uid_range("1000-1001") == range(1000, 1002)
    assert uid_range("") == UIDS
    assert uid_range("", remapped=True) == REMAPPED_UIDS
    assert uid_range("5-5", remapped=True) == range(5, 6)


@pytest.mark.parametrize("text", ["0-10", "10", "10-9", "a-b", "-5", "1-4294967295", "1-2-3"])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SandboxError, match="YUNHAN_DOCKER_UIDS"):
        uid_range(text)


@pytest.mark.parametrize(
    ("info", "remaps"),
    [
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}, True),
        ({"SecurityOptions": ["name=rootless"]}, True),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=cgroupns"]}, False),
        ({"SecurityOptions": None}, False),
    ],
)
def test_an_engine_says_whether_it_maps_uids(info: dict[str, Any], *, remaps: bool) -> None:
    assert remaps_uids(info) is remaps


def test_a_name_is_its_uid() -> None:
    assert container_name(800_000) == "yunhan-800000"
