from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.spawners.docker_remains import clear_remains

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are seen on Linux")

OURS, OTHERS = "ab" * 32, "cd" * 32


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        yield process
        process.kill()


def shown(proc: Path, pid: int, *, cgroup: str | bytes, command: str = "sleep") -> Path:
    (proc / str(pid)).mkdir(parents=True)
    name = cgroup.encode() if isinstance(cgroup, str) else cgroup
    (proc / str(pid) / "cgroup").write_bytes(name)
    (proc / str(pid) / "cmdline").write_text(command)
    return proc


@pytest.mark.parametrize(
    ("cgroup", "command"),
    [
        (f"3:pids:/docker/{OURS}\n", "runc\0init\0"),
        (f"0::/system.slice/docker-{OURS}.scope\n", "runc\0init\0"),
        (b"0::/\xff/docker-%b.scope\n" % OURS.encode(), "runc\0init\0"),
        ("0::/engine\n", f"/usr/bin/containerd-shim-runc-v2\0-namespace\0moby\0-id\0{OURS}\0"),
    ],
)
def test_what_is_left_of_a_container_is_killed(
    tmp_path: Path, process: subprocess.Popen[bytes], cgroup: str | bytes, command: str
) -> None:
    proc = shown(tmp_path / "proc", process.pid, cgroup=cgroup, command=command)
    assert clear_remains(OURS, proc=proc, cgroups=tmp_path / "none") == 1
    assert process.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("cgroup", "command"),
    [
        (f"3:pids:/docker/{OTHERS}\n", "node\0"),
        ("0::/\n", f"containerd-shim-runc-v2\0-id\0{OTHERS}\0"),
        ("0::/\n", f"less\0containerd-shim\0{OURS}\0"),  # somebody who looks for it
        ("0::/\n", ""),
        (b"0::/\xff\xfe\n", "sleep\0"),
    ],
)
def test_everything_else_lives_on(
    tmp_path: Path, process: subprocess.Popen[bytes], cgroup: str | bytes, command: str
) -> None:
    proc = shown(tmp_path / "proc", process.pid, cgroup=cgroup, command=command)
    assert clear_remains(OURS, proc=proc, cgroups=tmp_path / "none") == 0
    assert process.poll() is None


def test_its_groups_are_removed_the_deepest_first(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    groups = tmp_path / "cgroup"
    for controller in ("pids", "memory"):
        (groups / controller / "docker" / OURS / "below").mkdir(parents=True)
    (groups / "pids" / "docker" / OTHERS).mkdir()
    assert clear_remains(OURS, proc=tmp_path / "proc", cgroups=groups) == 4
    assert sorted(path.name for path in groups.glob("*/docker/*")) == [OTHERS]


@pytest.mark.parametrize("container_id", ["", "ab", OURS[:12]])
def test_an_id_that_could_mean_several_touches_nothing(
    tmp_path: Path, process: subprocess.Popen[bytes], container_id: str
) -> None:
    proc = shown(tmp_path / "proc", process.pid, cgroup=f"0::/docker/{OURS}")
    assert clear_remains(container_id, proc=proc, cgroups=tmp_path) == 0
    assert process.poll() is None


def test_what_cannot_be_read_or_removed_does_not_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.spawners.docker_remains._EMPTY_S", 0.0)
    (tmp_path / "cgroup" / OURS).mkdir(parents=True)
    (tmp_path / "cgroup" / OURS / "busy").touch()
    assert clear_remains(OURS, proc=tmp_path / "none", cgroups=tmp_path / "cgroup") == 0
    assert clear_remains(OURS, proc=tmp_path / "none", cgroups=tmp_path / "none") == 0
