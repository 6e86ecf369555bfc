"""Puts the image for one Node.js version on the engine, unless it is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from sandbox.api import SandboxError
from sandbox.node_libraries import find_libraries
from sandbox.node_runtimes import NodeRuntime
from sandbox.spawners.docker_engine import DockerEngine
from sandbox.spawners.docker_image import SCRATCH, sandbox_image

_log = structlog.get_logger(__name__)


async def ensure_image(
    engine: DockerEngine, runtime: NodeRuntime, bootstrap_dir: Path, base: str = SCRATCH
) -> str:
    """The image's tag. A build takes about 2 s and pulls nothing. Raises SandboxError."""
    libraries = await find_libraries(runtime.path) if base == SCRATCH else []
    image = await asyncio.to_thread(
        sandbox_image, runtime.path, libraries, bootstrap_dir, base=base
    )
    if not await engine.has_image(image.tag):
        if base != SCRATCH and not await engine.has_image(base):
            raise SandboxError(
                f"the base image {base} is not on the Docker engine, and nothing is pulled.",
                what_next=f"Run `docker pull {base}` or `docker load`, or use the base {SCRATCH}.",
            )
        _log.info("docker_image_build", image=image.tag, node=runtime.version, base=base)
        await engine.build_image(image.open_context, image.tag, image.arguments)
    return image.tag
