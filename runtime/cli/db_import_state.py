"""How far an import is: kept beside its source, so that it goes on after an interruption."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from runtime.cli.db_folder import replace_file
from runtime.cli.errors import CliError


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What of one file was taken. `offset` is the place behind the last line that was."""

    lines: int = 0
    offset: int = 0


class ImportState:
    """What one import of one source into one space has done. Of another source it knows nothing."""

    def __init__(self, source: Path, space_id: str, digest: str) -> None:
        """`digest` tells the source's content."""
        self._path = source.resolve().parent / f".{source.resolve().name}.import-{space_id}.json"
        self._digest = digest
        self._loaded: dict[str, Loaded] = {}

    def read(self) -> None:
        """What an earlier run wrote. A file that cannot be read counts as none: to load again is harmless."""
        try:
            value = json.loads(self._path.read_bytes())
            if value["source"] == self._digest:
                self._loaded = {
                    name: Loaded(lines=int(each["lines"]), offset=int(each["offset"]))
                    for name, each in value["collections"].items()
                }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._loaded = {}

    def of(self, collection: str) -> Loaded | None:
        """None = nothing was begun."""
        return self._loaded.get(collection)

    def write(self, collection: str, loaded: Loaded) -> None:
        """Raises CliError where the source's folder cannot be written to."""
        self._loaded[collection] = loaded
        collections = {
            name: {"lines": each.lines, "offset": each.offset}
            for name, each in self._loaded.items()
        }
        value = {"source": self._digest, "collections": collections}
        try:
            replace_file(self._path, json.dumps(value).encode())
        except OSError as error:
            raise CliError(
                f"{self._path} cannot be written: {error.strerror}.",
                next_step="An import keeps there how far it is: copy its source to a folder of yours.",
            ) from None

    def forget(self) -> None:
        """At the end."""
        self._loaded = {}
        self._path.unlink(missing_ok=True)
