"""A part of requirements-dev.lock: some packages with all that they need, hashes included."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).parents[2] / "requirements-dev.lock"


def part_of_lock(wanted: Iterable[str]) -> str:
    """Text of a requirements file for `pip install --no-deps --require-hashes`."""
    names = _closure(wanted)
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", LOCK.read_text(encoding="utf-8"))
    return "".join(block for block in blocks if block.strip() and _name_of(block) in names)


def _closure(wanted: Iterable[str]) -> set[str]:
    """As installed here."""
    needed: set[str] = set()
    todo = [(Requirement(text), "") for text in wanted]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement, extra = todo.pop()
        marker = requirement.marker
        if marker and not marker.evaluate({"extra": extra}):
            continue
        name = _normal(requirement.name)
        try:
            further = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        needed.add(name)
        for inner_extra in ("", *requirement.extras):
            if (name, inner_extra) not in seen:
                seen.add((name, inner_extra))
                todo += [(each, inner_extra) for each in further]
    return needed


def _name_of(block: str) -> str:
    return _normal(re.split(r"[=\s;\[]", block, maxsplit=1)[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
