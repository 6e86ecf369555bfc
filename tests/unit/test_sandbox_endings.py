from __future__ import annotations

import pytest

from sandbox import endings
from sandbox.api import Blame, Ending, OutcomeKind, Usage
from sandbox.handle import Exit

V8_TEXT = b"FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"


@pytest.mark.parametrize(
    ("exit_", "kind", "text"),
    [
        (Exit(code=0), OutcomeKind.EXITED, "code 0 before"),
        (Exit(code=3), OutcomeKind.EXITED, "code 3 before"),
        (Exit(code=70), OutcomeKind.EXITED, "nothing caught"),
        (Exit(code=1, output=V8_TEXT), OutcomeKind.EXITED, "code 1"),
        (Exit(code=71), OutcomeKind.EXITED, "code 71"),
        (
            Exit(code=71, output=b"yunhan bootstrap: unknown_type: the header\n"),
            OutcomeKind.PROTOCOL_ERROR,
            "did not arrive",
        ),
        (Exit(signal=6), OutcomeKind.CRASHED, "SIGABRT"),
        (Exit(signal=11), OutcomeKind.CRASHED, "SIGSEGV"),
        (Exit(signal=250), OutcomeKind.CRASHED, "signal 250"),
        (Exit(signal=6, output=b"x\n" + V8_TEXT), OutcomeKind.OUT_OF_MEMORY, "gets 192 MB"),
        (Exit(signal=5, output=V8_TEXT), OutcomeKind.OUT_OF_MEMORY, "limit of 256 MB"),
        (Exit(signal=9), OutcomeKind.SANDBOX_LOST, "killed by SIGKILL"),
        (Exit(signal=9, output=V8_TEXT), OutcomeKind.OUT_OF_MEMORY, "heap is full"),
        (Exit(signal=15), OutcomeKind.CRASHED, "SIGTERM"),
        (
            Exit(signal=9, oom=True),
            OutcomeKind.OUT_OF_MEMORY,
            "more than its memory limit of 256 MB",
        ),
        (Exit(signal=6, oom=True, output=V8_TEXT), OutcomeKind.OUT_OF_MEMORY, "used more than"),
        (Exit(code=137, oom=True), OutcomeKind.OUT_OF_MEMORY, "256 MB"),
    ],
)
def test_how_a_process_went_decides_the_kind(exit_: Exit, kind: OutcomeKind, text: str) -> None:
    ending = endings.process_gone(exit_, 256)
    assert ending.kind is kind
    assert ending.fault is not None
    assert text in ending.fault.message
    assert not ending.reusable


@pytest.mark.parametrize(
    ("ending", "blame"),
    [
        (endings.timed_out(1.5, "the function"), Blame.FUNCTION),
        (endings.lost("x"), Blame.OURS),
        (endings.no_result(), Blame.FUNCTION),
        (endings.protocol_error("x"), Blame.FUNCTION),
        (endings.result_too_large("x"), Blame.FUNCTION),
    ],
)
def test_endings_of_the_worker_have_a_fault_and_end_the_sandbox(
    ending: Ending, blame: Blame
) -> None:
    assert ending.kind.blame is blame
    assert ending.fault is not None
    assert ending.fault.message
    assert ending.value is None
    assert not ending.reusable


def test_a_result_that_is_too_deep_leaves_the_sandbox_as_it_is() -> None:
    usage = Usage(run_ms=1.0)
    assert endings.result_too_deep(usage, reusable=True).reusable
    assert not endings.result_too_deep(usage, reusable=False).reusable
    assert endings.result_too_deep(usage, reusable=True).usage == usage


def test_a_time_limit_beside_others_blames_nobody_for_the_loop() -> None:
    alone, beside = (endings.timed_out(1.5, "the function", beside=n).fault for n in (0, 2))
    assert alone is not None
    assert beside is not None
    assert "others" not in alone.message
    assert "2 others ran in the same sandbox" in beside.message
