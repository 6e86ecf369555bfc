from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import SandboxError, SandboxSpec
from sandbox.spawners.docker_errors import refused_by_engine
from sandbox.spawners.docker_exit import exit_of, lost_exit
from sandbox.spawners.docker_fitness import check_engine, engine_url
from sandbox.spawners.docker_image import docker_files_dir, sandbox_image
from sandbox.spawners.docker_options import DockerOptions, container_config, owner_of

SPEC = SandboxSpec(sandbox_id="sb1", node_major=24, memory_mb=256)

GOOD_INFO: dict[str, Any] = {
    "OperatingSystem": "Debian GNU/Linux 12",
    "OSType": "linux",
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
    "SecurityOptions": ["name=seccomp,profile=default"],
}


def config(options: DockerOptions | None = None) -> dict[str, Any]:
    return container_config(
        SPEC,
        options or DockerOptions(),
        image="yunhan-sandbox:1",
        owner="abc",
        uid=800_001,
        folder=Path("/run/y/sb-sb1"),
        view=Path("/run/v/sb-sb1"),
        seccomp="{}",
        egress=True,
    )


# --- container ------------------------------------------------------------------------------------


def test_a_container_has_every_wall() -> None:
    body = config()
    host = body["HostConfig"]
    assert body["User"] == "800001:800001"
    assert body["NetworkDisabled"] is True
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true", "seccomp={}"]
    assert (host["NetworkMode"], host["IpcMode"]) == ("none", "none")
    assert host["RestartPolicy"] == {"Name": "no"}
    assert not {"Binds", "Devices", "VolumesFrom", "PidMode", "CapAdd"} & host.keys()


def test_every_limit_comes_from_the_options() -> None:
    options = DockerOptions(
        cpus=1.5, pids_max=70, files_max=99, tmp_mb=7, tmp_inodes_max=8, log_max_kb=9
    )
    host = config(options)["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 256 * 1024 * 1024
    assert host["NanoCpus"] == 1_500_000_000
    assert host["PidsLimit"] == 70
    limits = {item["Name"]: (item["Soft"], item["Hard"]) for item in host["Ulimits"]}
    assert limits == {"nofile": (99, 99), "core": (0, 0), "msgqueue": (0, 0)}
    assert host["LogConfig"]["Config"] == {"max-size": "9k", "max-file": "2"}
    tmp = host["Tmpfs"]["/tmp"].split(",")
    assert {"noexec", "nosuid", "nodev", "size=7m", "nr_inodes=8", "uid=800001"} <= set(tmp)


def test_all_that_is_mounted_is_read_only() -> None:
    mounts = config()["HostConfig"]["Mounts"]
    assert [(item["Source"], item["Target"]) for item in mounts] == [
        ("/run/y/sb-sb1", "/channel"),
        ("/run/v/sb-sb1", "/code"),
        ("/run/y/sb-sb1/hosts", "/etc/hosts"),
        ("/run/y/sb-sb1/passwd", "/etc/passwd"),
    ]
    assert all(item["ReadOnly"] for item in mounts)


def test_nothing_of_the_worker_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YUNHAN_MASTER_KEY", "secret")
    names = {item.partition("=")[0] for item in config()["Env"]}
    assert names == {"PATH", "LANG", "TZ", "HOME", "TMPDIR", "YUNHAN_CHANNEL", "YUNHAN_EGRESS"}


def test_the_runtime_is_passed_on_as_it_is() -> None:
    assert config(DockerOptions(runtime="runsc"))["HostConfig"]["Runtime"] == "runsc"
    assert config()["HostConfig"]["Runtime"] == ""


def test_an_owner_is_its_run_directory() -> None:
    assert owner_of(Path("/a")) == owner_of(Path("/a")) != owner_of(Path("/b"))


def test_the_seccomp_profile_refuses_what_it_does_not_name() -> None:
    profile = json.loads((docker_files_dir() / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }
    forbidden = (
        "ptrace process_vm_readv process_vm_writev keyctl add_key request_key bpf userfaultfd"
        " io_uring_setup perf_event_open mount umount2 unshare setns clone clone3 socket"
        " init_module kexec_load open_by_handle_at pivot_root chroot reboot swapon mknod mknodat"
        " name_to_handle_at pidfd_getfd personality"
    )
    assert not allowed & set(forbidden.split())
    families = [
        rule["args"][0]["value"] for rule in profile["syscalls"] if rule["names"] == ["socket"]
    ]
    assert families == [1, 2, 10]


# --- image ----------------------------------------------------------------------------------------


def image_files(tmp_path: Path) -> tuple[Path, Path, Path]:
    node, library, bootstrap = tmp_path / "node", tmp_path / "libc.so", tmp_path / "bootstrap"
    node.write_text("node")
    node.chmod(0o755)
    library.write_text("lib")
    (bootstrap / "src").mkdir(parents=True)
    (bootstrap / "index.mjs").write_text("1")
    (bootstrap / "src" / "a.mjs").write_text("2")
    (bootstrap / "test").mkdir()
    (bootstrap / "test" / "t.mjs").write_text("3")
    return node, library, bootstrap


def test_an_image_holds_what_is_needed_and_no_more(tmp_path: Path) -> None:
    node, library, bootstrap = image_files(tmp_path)
    image = sandbox_image(node, [library], bootstrap)
    with image.open_context() as context, tarfile.open(fileobj=context) as tar:
        files = {item.name: item for item in tar if item.isfile()}
        assert set(files) == {
            "Dockerfile",
            "rootfs/etc/passwd",
            "rootfs/etc/group",
            "rootfs/etc/nsswitch.conf",
            "rootfs/usr/local/bin/node",
            f"rootfs{library}",
            "rootfs/yunhan/bootstrap/index.mjs",
            "rootfs/yunhan/bootstrap/src/a.mjs",
        }
        assert files["rootfs/usr/local/bin/node"].mode == 0o755
        assert all(item.uid == item.gid == 0 for item in files.values())
        dockerfile = tar.extractfile("Dockerfile")
        assert dockerfile is not None
        assert b"ARG BASE=scratch" in dockerfile.read()
    assert image.arguments == {"BASE": "scratch"}


def test_another_base_brings_its_own_libraries(tmp_path: Path) -> None:
    node, library, bootstrap = image_files(tmp_path)
    files = sandbox_image(node, [library], bootstrap, base="debian:12-slim").files
    assert library not in files.values()


def test_an_image_is_named_after_its_content(tmp_path: Path) -> None:
    node, library, bootstrap = image_files(tmp_path)
    first = sandbox_image(node, [library], bootstrap).tag
    assert sandbox_image(node, [library], bootstrap).tag == first
    (bootstrap / "index.mjs").write_text("other")
    changed = sandbox_image(node, [library], bootstrap).tag
    based = sandbox_image(node, [library], bootstrap, base="debian:12-slim").tag
    assert len({first, changed, based}) == 3


# --- exits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "oom_killed", "expected"),
    [
        (0, False, (0, None, False)),
        (7, False, (7, None, False)),
        (128, False, (128, None, False)),
        (134, False, (None, 6, False)),
        (134, True, (None, 6, False)),
        (137, False, (None, 9, False)),
        (137, True, (None, 9, True)),
        (1, True, (1, None, False)),  # only a child of it was killed
        (255, False, (255, None, False)),
    ],
)
def test_an_exit_code_says_how_it_ended(
    code: int, oom_killed: bool, expected: tuple[int | None, int | None, bool]
) -> None:
    exit_ = exit_of(code, oom_killed=oom_killed, output=b"tail")
    assert (exit_.code, exit_.signal, exit_.oom) == expected
    assert exit_.output == b"tail"
    assert not exit_.lost


def test_a_loss_says_why() -> None:
    assert lost_exit("the engine ended").lost == "the engine ended"


# --- engine ---------------------------------------------------------------------------------------


def test_a_fitting_engine_is_taken() -> None:
    check_engine(GOOD_INFO, "unix:///x", platform="linux")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"OperatingSystem": "Docker Desktop"}, "Compose"),
        ({"OSType": "windows"}, "another machine"),
        ({"MemoryLimit": False}, "memory"),
        ({"PidsLimit": False}, "numbers of processes"),
        ({"CpuCfsQuota": False}, "CPU time"),
        ({"SecurityOptions": []}, "seccomp"),
    ],
)
def test_an_engine_that_cannot_do_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(SandboxError, match=text):
        check_engine({**GOOD_INFO, **change}, "unix:///x", platform="linux")


def test_a_worker_on_another_system_has_no_engine_beside_it() -> None:
    with pytest.raises(SandboxError, match="another machine"):
        check_engine(GOOD_INFO, "unix:///x", platform="darwin")


@pytest.mark.parametrize("url", ["tcp://10.0.0.1:2375", "ssh://user@host", "npipe:////./pipe/d"])
def test_a_remote_engine_is_refused_with_advice(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SandboxError, match=r"unix sockets do not reach it.*Compose"):
        engine_url(url)
    monkeypatch.setenv("DOCKER_HOST", url)
    with pytest.raises(SandboxError):
        engine_url()


def test_an_engine_is_named_by_setting_then_environment_then_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///env.sock")
    assert engine_url("unix:///set.sock") == "unix:///set.sock"
    assert engine_url("/set.sock") == "unix:///set.sock"
    assert engine_url() == "unix:///env.sock"
    monkeypatch.delenv("DOCKER_HOST")
    assert engine_url() == "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Unknown runtime specified runsc", "YUNHAN_DOCKER_RUNTIME"),
        ("unknown or invalid runtime name: runsc", "YUNHAN_DOCKER_RUNTIME"),
        (
            'invalid mount config for type "bind": bind source path does not exist: /x',
            "same path",
        ),
        ("something else.", "something else."),
    ],
)
def test_a_refusal_says_what_to_do(said: str, advice: str) -> None:
    assert advice in str(refused_by_engine("create the container x", said))
