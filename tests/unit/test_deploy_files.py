"""What deploy/ names exists: settings, files, stages, packages at the locked versions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from runtime.settings import load_settings
from runtime.settings.model import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"
FORM: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, Any] = FORM["services"]
DOCKERFILE = (DEPLOY / "docker" / "yunhan" / "Dockerfile").read_text()
OURS = ("gateway", "worker")
MADE = {COMPOSE / "secrets", COMPOSE / ".env"}


def texts() -> list[Path]:
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    return [path for path in files if not any(made in {path, *path.parents} for made in MADE)]


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bYUNHAN_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8")))
    assert named <= {PREFIX + name.upper() for name in Settings.model_fields}


def default_of(value: str) -> str:
    """As Compose without a .env."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize("service", OURS)
def test_the_settings_of_each_program_are_valid(service: str) -> None:
    image = dict(re.findall(r"(YUNHAN_\w+)=(\S*)", DOCKERFILE))
    environment = {k: default_of(str(v)) for k, v in SERVICES[service]["environment"].items()}
    settings = load_settings({**image, **environment})
    assert settings.production
    grace = re.fullmatch(r"(\d+)s", default_of(SERVICES[service]["stop_grace_period"]))
    assert grace
    notice_s = settings.drain_notice_s + settings.shutdown_flush_s
    assert int(grace[1]) > settings.drain_grace_s + notice_s
    assert settings.drain_grace_s > settings.timeout_sync_max_s


def test_the_broker_waits_as_long_as_the_settings_say() -> None:
    conf = (COMPOSE / "rabbitmq" / "rabbitmq.conf").read_text()
    assert f"consumer_timeout = {Settings().queue_consumer_timeout_s * 1000}\n" in conf


def test_the_load_balancer_waits_longer_than_a_call_and_closes_idle_connections_first() -> None:
    conf = (COMPOSE / "haproxy" / "haproxy.cfg").read_text()
    settings = Settings()
    seconds = {k: int(v) for k, v in re.findall(r"timeout ([\w-]+) (\d+)s", conf)}
    assert seconds["server"] > settings.timeout_sync_max_s + settings.queue_wait_s
    [purge] = re.findall(r"pool-purge-delay (\d+)s", conf)
    assert int(purge) < settings.keepalive_s


def test_nothing_has_privileges_or_the_engines_socket_and_one_port_is_published() -> None:
    for name, service in SERVICES.items():
        assert not service.get("privileged")
        assert "cap_add" not in service
        assert "docker.sock" not in json.dumps(service)
        assert ("ports" in service) == (name == "balancer")
        assert ("outside" in service["networks"]) == (name == "worker")
    for name in OURS:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["read_only"] is True
        assert "no-new-privileges:true" in SERVICES[name]["security_opt"]
    assert all(FORM["networks"][name]["internal"] for name in ("front", "back", "producers"))
    assert default_of(SERVICES["balancer"]["ports"][0]).startswith("127.0.0.1:")


def test_what_is_mounted_is_here_and_every_secret_is_made() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    for mount in mounts:
        source = mount.partition(":")[0]
        assert not source.startswith("./") or (COMPOSE / source).is_file(), mount
        assert source.startswith(("./", "/")) or source in FORM["volumes"], mount
    script = (COMPOSE / "secrets.sh").read_text()
    for secret in FORM["secrets"].values():
        assert f"keep {secret['file'].removeprefix('./secrets/')} " in script
    used = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    assert used == set(FORM["secrets"])


def test_no_image_is_untagged_or_latest() -> None:
    for service in SERVICES.values():
        assert re.search(r":(?!latest$)[\w.-]+$", default_of(service["image"])), service["image"]


def test_the_stages_of_the_image_exist_and_what_they_copy_is_in_the_context() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, re.MULTILINE))
    assert set(re.findall(r"COPY --from=(\w+)", DOCKERFILE)) <= stages
    shown = (ROOT / ".dockerignore").read_text()
    for source in re.findall(r"^COPY ([^-\s]\S*) ", DOCKERFILE, re.MULTILINE):
        assert (ROOT / source).exists(), source
        assert source == "." or f"!/{source.rstrip('/')}\n" in shown
    for kept in re.findall(r"^!/(\S+)$", shown, re.MULTILINE):
        assert (ROOT / kept).exists(), kept


def test_the_image_starts_the_command_as_an_ordinary_user() -> None:
    assert 'ENTRYPOINT ["yunhan"]' in DOCKERFILE
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes" in DOCKERFILE


def test_the_lock_of_the_image_is_a_part_of_the_projects() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", path.read_text(), re.MULTILINE))

    image = pins(DEPLOY / "docker" / "yunhan" / "requirements.lock")
    assert image < pins(ROOT / "requirements.lock")
    assert any(pin.startswith("aio-pika==") for pin in image)


def test_a_worker_may_make_no_system_call_that_a_sandbox_or_its_making_does_not_need() -> None:
    def allowed(path: Path) -> set[str]:
        profile = json.loads(path.read_text())
        assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
        rules = [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
        return {name for rule in rules for name in rule["names"]}

    worker = allowed(COMPOSE / "seccomp-worker.json")
    assert worker >= allowed(DEPLOY / "docker" / "sandbox" / "seccomp.json")
    assert not worker & {"bpf", "ptrace", "keyctl", "add_key", "perf_event_open", "init_module"}
    assert not worker & {
        "io_uring_setup",
        "userfaultfd",
        "reboot",
        "open_by_handle_at",
        "kexec_load",
    }
