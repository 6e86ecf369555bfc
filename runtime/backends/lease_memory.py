"""Leases in memory: for tests, and as the model of what the port means."""

from __future__ import annotations

from runtime.ports import LeaseMark, LeaseStore


class LeasesMemory(LeaseStore):
    """See `LeaseStore`. Nothing awaits, so every method is one step."""

    def __init__(self) -> None:
        self._marks: dict[str, LeaseMark] = {}

    async def read(self, name: str) -> LeaseMark | None:
        return self._marks.get(name)

    async def change(self, name: str, before: LeaseMark | None, holder: str) -> LeaseMark | None:
        if self._marks.get(name) != before:
            return None
        mark = LeaseMark(holder=holder, number=before.number + 1 if before else 1)
        self._marks[name] = mark
        return mark
