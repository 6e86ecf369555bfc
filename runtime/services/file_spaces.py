"""What file calls need to know of a space, and who calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runtime.files.refusals import FileDeniedError
from runtime.files.rules import FileRules, Operation
from runtime.services.space_status import HasStatus


class FileSpace(HasStatus, Protocol):
    """`SpaceView`, as far as files go."""

    @property
    def file_rules(self) -> FileRules:
        """Who may read and write which files."""


class FileSpaces(Protocol):
    """`SpaceDirectory`, as far as files go."""

    async def get(self, space_id: str) -> FileSpace:
        """Raises NotFoundError (InvalidSpaceId.NotFound) or UnavailableError."""


@dataclass(frozen=True, slots=True)
class FileCaller:
    """Who asks. `user_id`: the end user, if there is one. `trusted`: a backend, a function or the management
    side, whom no rule restricts (spec: server protocol §5)."""

    space: FileSpace
    user_id: str | None
    trusted: bool

    def may(self, path: str, operation: Operation, owner_id: str | None) -> bool:
        """Whether it may do that with a file of this owner."""
        return self.trusted or self.space.file_rules.may(
            path, operation, user_id=self.user_id, owner_id=owner_id
        )

    def check_write(self, path: str, owner_id: str | None) -> None:
        """Raises FileDeniedError."""
        if not self.may(path, Operation.WRITE, owner_id):
            raise FileDeniedError(path, "write")
