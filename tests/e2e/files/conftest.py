"""Files of known content, and how they are compared."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

MakeFile = Callable[..., "LocalFile"]
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine."""

    path: Path
    size: int
    sha256: str


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Write random bytes, the same for the same name and size."""

    def make(name: str, size: int = 4000) -> LocalFile:
        source = random.Random(f"{name} {size}")
        digest = hashlib.sha256()
        with (tmp_path / name).open("wb") as file:
            for start in range(0, size, _PIECE_BYTES):
                piece = source.randbytes(min(_PIECE_BYTES, size - start))
                digest.update(piece)
                file.write(piece)
        return LocalFile(tmp_path / name, size, digest.hexdigest())

    return make
