"""Which shared libraries a Node.js executable needs, to show a sandbox those and no other file."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sandbox.api import SandboxError
from sandbox.run_program import run_program

_LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def parse_libraries(text: str) -> list[Path]:
    """The files that the output of `ldd` names, the loader among them."""
    return [Path(path) for path in _LIBRARY.findall(text)]


async def find_libraries(node: Path) -> list[Path]:
    """Ask the system's loader. Raises SandboxError when it cannot tell."""
    code, text = await run_program([shutil.which("ldd") or "ldd", str(node)])
    libraries = parse_libraries(text)
    if "not a dynamic executable" in text or "statically linked" in text:
        return []
    if code != 0 or not libraries or "not found" in text:
        raise SandboxError(f"the shared libraries of {node} are not known: {text.strip()[:400]}.")
    return libraries
