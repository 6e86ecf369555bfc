"""What the records say about calls: one for each that was answered, never two for any."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.chaos.workload import Verdict
from tests.harness.management import Management

_PAGE = 100
_WRITTEN_S = 2.0


class Answered(Protocol):
    """What is needed of a call."""

    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def ended(self) -> float: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def request_id(self) -> str: ...


@dataclass(slots=True)
class Records:
    """Reads the records of one space."""

    management: Management
    space_id: str

    def check(
        self, calls: Sequence[Answered], kills: Sequence[float], lag_s: float, names: Sequence[str]
    ) -> list[str]:
        """Violations. `kills` are the moments at which the program was dead after a kill: a call that ended
        less than `lag_s` before may have lost its record."""
        time.sleep(_WRITTEN_S)  # the last ones are written in a batch
        by_id: defaultdict[str, list[str]] = defaultdict(list)
        runs: Counter[str] = Counter()
        for name in names:
            for row in self._rows(name):
                by_id[row["RequestId"]].append(row["Outcome"])
                for line in row["Contents"][:1]:
                    if line.startswith(("call ", "child ")) and "-" not in line:  # no probe
                        runs[line] += 1
        violations = [
            f"{count} records of invocations that say {line!r}"
            for line, count in runs.items()
            if count > 1
        ]
        for call in calls:
            found = by_id.get(call.request_id, [])
            if not call.request_id:
                continue
            before_s = min((kill - call.ended for kill in kills if kill > call.ended), default=None)
            may_be_lost = before_s is not None and before_s < lag_s
            if found != [call.verdict.outcome] and not (may_be_lost and not found):
                violations.append(
                    f"call {call.number} of {call.name} ({call.request_id}) was answered"
                    f" {call.verdict.outcome}, its records say {found}"
                    + (f", {before_s:.2f} s before a kill" if before_s is not None else "")
                )
        return violations

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            answer = self.management.call(
                "YunhanListFunctionLog",
                SpaceId=self.space_id,
                Name=name,
                PageNum=page,
                PageSize=_PAGE,
                Order="ASC",
            )
            yield from answer["DataList"]
            if len(answer["DataList"]) < _PAGE:
                return
            page += 1
