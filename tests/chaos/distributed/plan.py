"""Which faults a run makes, in which order. Pure and seeded."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

PROCESSES: Mapping[str, int] = {"sandbox": 600, "worker": 150, "gateway": 100}
"""kill -9 of a process, with its weight among 1,000 faults. They come in rapid series."""
STORES: Mapping[str, int] = {"broker": 60, "documents": 60}
FREEZE: Mapping[str, int] = {"freeze": 10}
ODD = (
    "alarm",
    "sigterm_worker",
    "queue_deleted",
    "clock_ahead",
    "descriptors",
    "half_open_worker",
    "sigterm_gateway",
    "poison",
    "clock_behind",
    "half_open_gateway",
)
"""The rest, spread evenly: 20 of 1,000."""
BACKLOG = "backlog"
"""Ten thousand jobs on two workers: once in a large run."""

KINDS = (*PROCESSES, *STORES, *FREEZE, *ODD, BACKLOG)

_ODD_WEIGHT = 20
_ODD_MIN = 3
_LARGE = 500
_SERIES = range(6, 13)


def plan(faults: int, seed: int, kinds: Sequence[str]) -> list[tuple[str, ...]]:
    """Steps: a series of process kills, or one other fault. `kinds` empty = all."""
    dice = random.Random(seed)
    chosen = Counter(dict(_shares(faults, kinds or _usual(faults), dice)))
    processes = [kind for kind in PROCESSES for _ in range(chosen[kind])]
    dice.shuffle(processes)
    steps: list[tuple[str, ...]] = []
    while processes:
        length = dice.choice(_SERIES)
        steps.append(tuple(processes[:length]))
        processes = processes[length:]
    steps += [(kind,) for kind in chosen if kind not in PROCESSES for _ in range(chosen[kind])]
    dice.shuffle(steps)
    return steps


def _usual(faults: int) -> Sequence[str]:
    return KINDS if faults >= _LARGE else [kind for kind in KINDS if kind != BACKLOG]


def _shares(faults: int, kinds: Sequence[str], dice: random.Random) -> Iterator[tuple[str, int]]:
    """How many of each; together exactly `faults`. The rare ones come at least once."""
    weights = {**PROCESSES, **STORES, **FREEZE}
    weights = {kind: weight for kind, weight in weights.items() if kind in kinds}
    odd = [kind for kind in ODD if kind in kinds]
    left = faults
    if BACKLOG in kinds and left:
        left -= 1
        yield BACKLOG, 1
    total = sum(weights.values()) + (_ODD_WEIGHT if odd else 0)
    if odd:
        first = dice.randrange(len(odd))
        wanted = max(_ODD_MIN, round(faults * _ODD_WEIGHT / total)) if weights else left
        count = min(left, wanted)
        yield from Counter(odd[(first + n) % len(odd)] for n in range(count)).items()
        left -= count
        total -= _ODD_WEIGHT
    # the commonest kind comes last and takes what rounding left
    for kind, weight in sorted(weights.items(), key=lambda item: item[1]):
        count = min(left, max(1, round(left * weight / total)))
        if weight == max(weights.values()) and kind == max(weights, key=lambda k: weights[k]):
            count = left
        yield kind, count
        left -= count
        total -= weight
