"""Whether what callers were told fits what was killed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.tally import Call, Tally

CALL_BOUND_S = 45.0
"""The longest chain: start (10 s) and load (10 s) of a parent and of its child, and their run."""
BLAME_SLACK_S = 3.0
"""A kill explains failures of calls that began this long after it: a death is noticed within 1 s."""


def violations(tally: Tally) -> Iterator[str]:
    """One outcome for each call, right blame, no hang, and no more failures than kills explain."""
    numbers = Counter(call.number for call in tally.calls)
    missing = [n for n in range(1, tally.options.calls + 1) if numbers[n] != 1]
    if missing:
        yield f"not one outcome: calls {missing[:10]}"
    for call in tally.calls:
        where = _where(call)
        if call.verdict.wrong:
            yield f"{where}: {call.verdict.wrong}"
        if call.seconds > CALL_BOUND_S:
            yield f"{where} took {call.seconds:.1f} s"
        if not _explained(call, tally):
            yield f"{where}: {call.verdict.outcome} although nothing was killed"
    yield from _too_many(tally)
    for outcome, texts in _blamed(tally).items():
        yield (
            f"{len(texts)} answers ({outcome}) blame the function for what was killed,"
            f" e.g. {texts[0]}"
        )


def _too_many(tally: Tally) -> Iterator[str]:
    """A sandbox runs one call at a time: its death ends one. A caller waits for one answer: the program's
    death cuts one each. While an engine is dead any number may fail."""
    cut = sum(call.verdict.outcome == "cut" for call in tally.calls)
    cut_max = len(tally.of_kind("program")) * tally.options.callers
    if cut > cut_max:
        yield f"{cut} calls were cut off, more than callers of killed programs: {cut_max}"
    failed = sum(call.verdict.blame == "ours" for call in tally.calls)
    failed += sum(fault.failed for fault in tally.faults)
    victims = sum(fault.victims for fault in tally.of_kind("sandbox"))
    if failed > victims and not tally.of_kind("engine"):
        yield f"{failed} calls failed with our blame, but only {victims} sandboxes were killed"


def _blamed(tally: Tally) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for outcome, text in tally.blamed:
        found.setdefault(outcome, []).append(text)
    for call in tally.calls:
        if text := call.verdict.blamed_on_function:
            found.setdefault(call.verdict.outcome, []).append(f"{_where(call)}: {text}")
    return found


def _explained(call: Call, tally: Tally) -> bool:
    """Whether something was killed that may have ended this call; always for calls that we did not
    fail."""
    cut = call.verdict.outcome == "cut"
    if not cut and call.verdict.blame != "ours":
        return True
    return any(
        fault.began <= call.ended and call.began <= fault.ended + fault.recovered_s + BLAME_SLACK_S
        for fault in tally.faults
        if not cut or fault.kind == "program"
    )


def _where(call: Call) -> str:
    return f"call {call.number} of {call.name} ({call.request_id or 'no id'})"
