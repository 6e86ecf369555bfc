"""The rungs that hostile functions are run on, and what this machine lacks for them."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from sandbox.api import SandboxError, Spawner
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.egress.access import EgressAccess
from sandbox.egress.names import Names, system_lookup
from sandbox.egress.policy import EgressPolicy
from sandbox.landlock_privileges import check_privileges
from sandbox.landlock_rules import landlock_abi
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.docker import DockerSpawner
from sandbox.spawners.docker_fitness import engine_url
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.spawners.process import ProcessSpawner

MakeSpawner = Callable[[Path, EgressAccess], Spawner]

# Names that lead where nobody may go, whatever this machine's own resolver knows.
_NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "a.localhost": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
}


def obliging_lookup(name: str) -> Sequence[str]:
    """A resolver that knows more than the system's and reads every spelling of a number."""
    if name in _NAMES:
        return _NAMES[name]
    try:
        return [str(IPv4Address(socket.inet_aton(name)))]
    except OSError:
        return system_lookup(name) if name == socket.gethostname() else _unknown(name)


def _unknown(name: str) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, f"{name} is not known")


def default_access() -> EgressAccess:
    """Public addresses, as an operator has it who set nothing."""
    return EgressAccess(policy=EgressPolicy.from_text(), names=Names(obliging_lookup))


def _bubblewrap(*, use_cgroups: bool) -> MakeSpawner:
    return lambda folder, egress: BubblewrapSpawner(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        use_cgroups=use_cgroups,
        egress=egress,
    )


RUNGS: dict[str, MakeSpawner] = {
    "process": lambda folder, _: ProcessSpawner(
        run_dir=folder / "run", bootstrap_dir=bootstrap_dir()
    ),
    "bubblewrap": _bubblewrap(use_cgroups=True),
    "bubblewrap-watcher": _bubblewrap(use_cgroups=False),
    "docker": lambda folder, egress: DockerSpawner(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        egress=egress,
    ),
    "landlock": lambda folder, egress: LandlockSpawner(
        run_dir=folder / "run",
        views_dir=folder / "views",
        bootstrap_dir=bootstrap_dir(),
        egress=egress,
    ),
}
WALLED = [rung for rung in RUNGS if rung != "process"]


def missing(rung: str) -> str | None:
    """What this machine lacks for a rung."""
    if rung.startswith("bubblewrap") and shutil.which("bwrap") is None:
        return "the program bwrap"
    if rung == "docker":
        url = engine_url()
        with socket.socket(socket.AF_UNIX) as knock:
            if knock.connect_ex(url.removeprefix("unix://")):
                return f"a Docker engine at {url}"
    if rung == "landlock":
        try:
            check_privileges()
            landlock_abi()
        except SandboxError as error:
            return str(error)
    return None


def engine_sockets() -> list[str]:
    """Where the sockets of container engines are."""
    usual = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"]
    return [*usual, engine_url().removeprefix("unix://")]
