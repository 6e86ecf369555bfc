"""Build hook: puts the Node.js side of the sandbox, npm packages included, and the recipe of the sandbox
image into the wheel.

An installed Yunhan needs no npm: `sandbox/node_bootstrap` in the wheel is complete.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_LEFT_OUT = {"test", ".npmrc"}
_IMAGE_FILES = ("Dockerfile", "seccomp.json")


class NodeBootstrapHook(BuildHookInterface[Any]):
    """Adds node_bootstrap to a standard wheel; an editable one finds it in the clone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is what kind of wheel is built: `standard` or `editable`."""
        if version == "editable":
            return
        bootstrap = Path(self.root) / "node_bootstrap"
        if not (bootstrap / "node_modules").is_dir():
            installer = Path(self.root) / "scripts" / "npm_ci.py"
            subprocess.run([sys.executable, str(installer), str(bootstrap)], check=True)
        for entry in sorted(bootstrap.iterdir()):
            if entry.name not in _LEFT_OUT:
                build_data["force_include"][str(entry)] = f"sandbox/node_bootstrap/{entry.name}"
        image = Path(self.root) / "deploy" / "docker" / "sandbox"
        for name in _IMAGE_FILES:
            build_data["force_include"][str(image / name)] = f"sandbox/docker_sandbox/{name}"
