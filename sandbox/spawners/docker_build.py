"""Puts the images for the installed Node.js versions on the engine, and takes old ones off it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from sandbox.api import SandboxError
from sandbox.node_libraries import find_libraries
from sandbox.node_runtimes import NodeRuntime
from sandbox.spawners.docker_engine import DockerEngine
from sandbox.spawners.docker_image import SCRATCH, sandbox_image

_log = structlog.get_logger(__name__)


async def ensure_images(
    engine: DockerEngine,
    runtimes: Mapping[int, NodeRuntime],
    bootstrap_dir: Path,
    base: str = SCRATCH,
    *,
    remove_old: bool = True,
) -> Mapping[int, str]:
    """Tags by Node.js version. With `remove_old`, when something was built, older images of ours that no
    container uses are removed; a worker that still wants one builds it again. Two such workers would
    take each other's images by turns for ever if they removed them then as well. Raises SandboxError."""
    images, built = {}, False
    for major, runtime in runtimes.items():
        images[major], is_new = await _ensure_image(engine, runtime, bootstrap_dir, base)
        built |= is_new
    if built and remove_old:
        removed = await engine.remove_old_images(images.values())
        if removed:
            _log.info("docker_images_removed", images=removed)
    return images


async def _ensure_image(
    engine: DockerEngine, runtime: NodeRuntime, bootstrap_dir: Path, base: str
) -> tuple[str, bool]:
    """The image's tag, and whether it was built: that takes about 2 s and pulls nothing."""
    libraries = await find_libraries(runtime.path) if base == SCRATCH else []
    image = await asyncio.to_thread(
        sandbox_image, runtime.path, libraries, bootstrap_dir, base=base
    )
    if await engine.has_image(image.tag):
        return image.tag, False
    if base != SCRATCH and not await engine.has_image(base):
        raise SandboxError(
            f"the base image {base} is not on the Docker engine, and nothing is pulled.",
            what_next=f"Run `docker pull {base}` or `docker load`, or use the base {SCRATCH}.",
        )
    _log.info("docker_image_build", image=image.tag, node=runtime.version, base=base)
    await engine.build_image(image.open_context, image.tag, image.arguments)
    return image.tag, True
