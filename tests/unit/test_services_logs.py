"""A reader of logs finds the call that has just ended: what is buffered is written first."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.backends.records_memory import RecordsMemory
from runtime.messages import InvocationRecord
from runtime.ports import RecordQuery
from runtime.services.logs import LogService
from tests.unit.management_support import SPACE_ID, Bench


async def test_what_is_buffered_is_written_before_a_page_is_read() -> None:
    bench = Bench()
    await bench.add_space()
    steps: list[str] = []

    class Records(RecordsMemory):
        async def find(
            self, query: RecordQuery, *, offset: int, limit: int, newest_first: bool = True
        ) -> tuple[Sequence[InvocationRecord], int]:
            steps.append("find")
            return await super().find(query, offset=offset, limit=limit, newest_first=newest_first)

    async def flush(timeout_s: float) -> bool:
        assert 0 < timeout_s <= 5
        steps.append("flush")
        return False  # a store that is away is not waited for

    logs = LogService(records=Records(), editor=bench.editor, flush=flush)
    assert await logs.page(RecordQuery(space_id=SPACE_ID), offset=0, limit=1) == ([], 0)
    assert steps == ["flush", "find"]
