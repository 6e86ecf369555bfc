"""Function logs: one record per invocation, queried by the owner of a space."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.messages import InvocationRecord
from runtime.ports import RecordQuery, RecordStore
from runtime.services.space_editor import SpaceEditor


class LogService:
    """Reads invocation records."""

    def __init__(self, *, records: RecordStore, editor: SpaceEditor) -> None:
        self._records = records
        self._editor = editor

    async def page(
        self, query: RecordQuery, *, offset: int, limit: int, newest_first: bool = True
    ) -> tuple[Sequence[InvocationRecord], int]:
        """One page by start time, and the total. Records of deleted functions are found too.

        Raises NotFoundError when the space does not exist."""
        await self._editor.read(query.space_id)
        return await self._records.find(
            query, offset=offset, limit=limit, newest_first=newest_first
        )
