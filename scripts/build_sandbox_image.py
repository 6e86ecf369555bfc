"""Builds the images of the docker rung: one per installed Node.js version, from local files only."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sandbox.api import SandboxError
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.node_runtimes import find_node_runtimes
from sandbox.spawners.docker_build import ensure_images
from sandbox.spawners.docker_engine import DockerEngine
from sandbox.spawners.docker_fitness import check_engine, engine_url
from sandbox.spawners.docker_image import SCRATCH


async def build(docker_host: str, base: str, node_paths: str) -> None:
    """Print each image's tag. Raises SandboxError."""
    engine = DockerEngine(engine_url(docker_host))
    try:
        check_engine(await engine.open(), engine.url)
        runtimes = await find_node_runtimes(node_paths)
        images = await ensure_images(engine, runtimes, bootstrap_dir(), base)
        for major, tag in images.items():
            print(f"{tag} (Node.js {runtimes[major].version})")
    finally:
        await engine.close()


def main() -> int:
    """Exit code 1 with one line of text when it cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--docker-host", default="", help="default: DOCKER_HOST or the usual socket"
    )
    parser.add_argument("--base", default=SCRATCH, help="an image that the engine has")
    parser.add_argument("--node-paths", default="", help="further versions: 20=/usr/bin/node,...")
    arguments = parser.parse_args()
    try:
        asyncio.run(build(arguments.docker_host, arguments.base, arguments.node_paths))
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
