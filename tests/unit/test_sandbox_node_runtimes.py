from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.api import SandboxError
from sandbox.node_command import heap_limit_mb, node_command, node_environment
from sandbox.node_runtimes import nearest, parse_node_paths, parse_runtime


@pytest.mark.parametrize(
    ("wanted", "given_majors", "expected"),
    [
        (14, [18, 20, 24], 18),
        (18, [18, 20, 24], 18),
        (20, [24, 18, 20], 20),
        (22, [18, 24], 24),
        (26, [18, 24], 24),
        (8, [24], 24),
    ],
)
def test_nearest_is_the_smallest_that_is_not_older_else_the_newest(
    wanted: int, given_majors: list[int], expected: int
) -> None:
    assert nearest(given_majors, wanted) == expected


@given(st.lists(st.integers(1, 99), min_size=1), st.integers(1, 99))
def test_nearest_is_installed(majors: list[int], wanted: int) -> None:
    found = nearest(majors, wanted)
    assert found in majors
    assert found >= wanted or found == max(majors)


def test_nearest_of_nothing() -> None:
    with pytest.raises(ValueError, match="no Node"):
        nearest([], 14)


def test_runtime_names() -> None:
    assert [parse_runtime(name) for name in ("nodejs8", "nodejs14", "nodejs20")] == [8, 14, 20]


@pytest.mark.parametrize(
    "name", ["", "node14", "nodejs", "nodejs14 ", "nodejs-1", "NodeJS14", "nodejs\u0661"]
)
def test_other_names_are_no_runtimes(name: str) -> None:
    with pytest.raises(ValueError, match="no runtime"):
        parse_runtime(name)


def test_node_paths() -> None:
    assert parse_node_paths(" 20=/usr/bin/node, 22=/opt/a=b/node ,") == {
        20: Path("/usr/bin/node"),
        22: Path("/opt/a=b/node"),
    }
    assert parse_node_paths("") == {}


@pytest.mark.parametrize("text", ["/usr/bin/node", "20=", "=x", "v20=/usr/bin/node", "20=a,20=b"])
def test_ill_formed_node_paths(text: str) -> None:
    with pytest.raises(SandboxError):
        parse_node_paths(text)


@given(st.integers(64, 4096))
def test_the_heap_stays_below_the_memory_of_the_process(memory_mb: int) -> None:
    heap_mb = heap_limit_mb(memory_mb)
    assert 64 <= heap_mb <= memory_mb
    assert memory_mb - heap_mb >= min(64, memory_mb - 64)


def test_the_command_and_its_environment_are_all_there_is() -> None:
    node = Path("/opt/node/bin/node")
    command = node_command(node=node, bootstrap_dir=Path("/b"), memory_mb=256)
    assert command == [
        "/opt/node/bin/node",
        "--max-old-space-size=192",
        "--max-semi-space-size=8",
        "/b/index.mjs",
    ]
    environment = node_environment(node=node, home=Path("/run/one/work"), channel=Path("/run/c"))
    assert environment == {
        "PATH": "/opt/node/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/run/one/work",
        "TMPDIR": "/run/one/work",
        "YUNHAN_CHANNEL": "/run/c",
    }
