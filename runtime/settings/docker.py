"""The rung `docker`: the engine and its images."""

from __future__ import annotations

from runtime.settings.fields import SettingGroup, setting


class DockerSettings(SettingGroup):
    """The Docker engine."""

    docker_host: str = setting(
        "", "URL", "unix:// address of the Docker engine; empty = DOCKER_HOST or the usual one"
    )
    docker_runtime: str = setting(
        "", "name", "OCI runtime of the engine: runc, runsc, ...; empty = its default"
    )
    docker_base_image: str = setting(
        "scratch", "image", "what the sandbox image is built on; scratch = this machine's Node.js"
    )
    docker_uids: str = setting(
        "",
        "range",
        "uids of containers, one each, first-last; empty = 800000-865535, or 10000-59999 where the engine"
        " maps uids",
    )
    docker_spawns_max: int = setting(4, "count", "containers started at the same time", ge=1)
    docker_reconcile_s: float = setting(
        60.0, "s", "how often the engine's containers are compared with ours", gt=0
    )
