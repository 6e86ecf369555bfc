"""Where `node_bootstrap` is: beside the packages in a clone, inside `sandbox` in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from sandbox.api import SandboxError

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE.parent / "node_bootstrap", _HERE / "node_bootstrap")


def bootstrap_dir() -> Path:
    """The folder with `index.mjs` and its `node_modules`. Reads the disk; cheap.

    Raises SandboxError when it is missing or its npm packages are not installed.
    """
    for place in _PLACES:
        if (place / "package.json").is_file():
            return _complete(place)
    raise SandboxError(
        "The Node.js side of the sandbox (node_bootstrap) is not installed.",
        what_next="Reinstall the yunhan package; in a clone, check out node_bootstrap/.",
    )


def _complete(place: Path) -> Path:
    if not (place / "node_modules").is_dir():
        raise SandboxError(
            f"The npm packages of {place} are not installed.",
            what_next="Run `make env` in the clone, or reinstall the yunhan package.",
        )
    return place
