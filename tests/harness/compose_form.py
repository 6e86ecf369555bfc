"""The Compose form of deploy/compose on an engine that can pull nothing: its own image is built from this
machine's packages, public images have stand-ins (tests/fixtures/compose)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.harness.host_image import missing_packages, write_rootfs
from tests.harness.locked import part_of_lock
from tests.harness.program import free_port

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"
STAND_INS = ROOT / "tests" / "fixtures" / "compose"
DOCKERFILE = ROOT / "deploy" / "docker" / "yunhan" / "Dockerfile"

_PYTHON = ("apt", "passwd", "python3", "python3-venv", "ca-certificates", "libstdc++6")
_SERVERS = ("rabbitmq-server", "haproxy", "procps")
_SANDBOXES = ("bubblewrap", "tini")
_STAND_IN_LIBRARIES = ("moto[s3]", "flask", "flask-cors", "secantusdb", "pymongo")
_CA = "/etc/ssl/certs/ca-certificates.crt"


def missing_reason() -> str:
    """Why it cannot be started here; empty when it can."""
    if not os.environ.get("DOCKER_HOST", "").startswith("unix://"):
        return "DOCKER_HOST names no engine of the tests' own (see .ci/run)"
    if missing := missing_packages((*_PYTHON, *_SERVERS, *_SANDBOXES)):
        return f"not installed: apt-get install {' '.join(missing)}"
    try:
        version = docker("compose", "version", "--short", timeout_s=20)
    except (OSError, subprocess.SubprocessError, AssertionError):
        return "no Docker engine, or no Compose v2 (see .ci/run)"
    return (
        "" if version.startswith(("2.2", "2.3", "2.4", "3.", "4.", "5.")) else f"Compose {version}"
    )


def docker(*arguments: str, timeout_s: float = 300, cwd: Path | None = None) -> str:
    """What `docker ...` printed. Raises AssertionError with all that it said when it fails."""
    done = subprocess.run(
        ["docker", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"[-8000:]
    return done.stdout.strip()


def _dangling_images() -> set[str]:
    return set(docker("images", "--quiet", "--no-trunc", "--filter", "dangling=true").split())


class Images:
    """Three images under names of this test: a base, Yunhan's own, and the stand-ins."""

    def __init__(self, folder: Path, name: str) -> None:
        self.base, self.program, self.stand_ins = (
            f"{name}-{of}" for of in ("base", "own", "fakes")
        )
        self._folder = folder
        self._dangling = _dangling_images()

    def build(self) -> None:
        """Downloads Python and npm packages by way of this machine's network."""
        rootfs = self._folder / "rootfs.tar"
        write_rootfs((*_PYTHON, *_SERVERS, *_SANDBOXES), rootfs)
        docker("import", "--change", f"ENV NODE_EXTRA_CA_CERTS={_CA}", str(rootfs), self.base)
        rootfs.unlink()
        context = self._folder / "stand-ins"
        shutil.copytree(STAND_INS, context)
        (context / "requirements.lock").write_text(part_of_lock(_STAND_IN_LIBRARIES))
        fakes = self._start(self.stand_ins, context, context / "Dockerfile")
        own = self._start(self.program, ROOT, DOCKERFILE)
        for process in (fakes, own):
            out, _ = process.communicate(timeout=400)
            assert process.returncode == 0, out[-8000:]

    def remove(self) -> None:
        """With what their builds left."""
        for image in (self.program, self.stand_ins, self.base):
            subprocess.run(["docker", "rmi", "--force", image], capture_output=True, check=False)
        for image in _dangling_images() - self._dangling:
            subprocess.run(["docker", "rmi", image], capture_output=True, check=False)

    def _start(self, tag: str, context: Path, dockerfile: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *("docker", "build", "--network", "host", "--build-arg", f"BASE={self.base}"),
                *("--force-rm", "--tag", tag, "--file", str(dockerfile), str(context)),
            ],
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


class ComposeForm:
    """A copy of deploy/compose with stand-ins laid over it, and its own secrets."""

    def __init__(self, folder: Path, name: str, images: Images) -> None:
        self.folder = folder / "compose"
        self.name = name
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        shutil.copytree(COMPOSE, self.folder, ignore=shutil.ignore_patterns("secrets", ".env"))
        shutil.copy(STAND_INS / "stand_ins.yaml", self.folder)
        values = {
            "COMPOSE_FILE": "compose.yaml:stand_ins.yaml",
            "COMPOSE_PROJECT_NAME": name,
            "IMAGE": images.program,
            "STAND_INS": images.stand_ins,
            "LISTEN": f"127.0.0.1:{self.port}",
            "YUNHAN_PUBLIC_URL": self.endpoint,
            # The stand-in is no replica set.
            "YUNHAN_DOCUMENTS_URL": "mongodb://yunhan@mongodb/?authSource=admin&directConnection=true",
        }
        (self.folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in values.items()))

    def script(self, name: str, *arguments: str, timeout_s: float = 200) -> str:
        """What one of the folder's scripts printed. Raises AssertionError when it fails."""
        done = subprocess.run(
            [str(self.folder / name), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{name}\n{done.stdout}{done.stderr}"[-8000:] + self.logs()
        return done.stdout

    def compose(self, *arguments: str, timeout_s: float = 120) -> str:
        return docker("compose", *arguments, timeout_s=timeout_s, cwd=self.folder)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()

    def metrics(self, container: str, port: int) -> Mapping[str, float]:
        """Of a gateway or worker: from inside, they are not published."""
        ask = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
        lines = docker("exec", container, "python3", "-c", ask).splitlines()
        return {name: float(value) for name, value in (line.split() for line in lines if line)}

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", "--tail", "400", *services)

    def down(self) -> None:
        """Containers, networks and volumes; nothing is left."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")
