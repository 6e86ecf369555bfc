from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.api import Limits, LogLevel, LogLine
from sandbox.log_bounds import LogBounds, cut_utf8, utf8_size


def line(text: str) -> LogLine:
    return LogLine(level=LogLevel.INFO, time_ms=1, text=text)


def bounds(*, lines: int = 10, total: int = 100, each: int = 20) -> LogBounds:
    return LogBounds(Limits(log_lines_max=lines, log_max_bytes=total, log_line_max_bytes=each))


def test_lines_within_the_limits_are_untouched() -> None:
    lines = [line("a"), line("b" * 20)]
    assert bounds().admit(lines) == (lines, False)


def test_a_long_line_is_cut_and_the_next_still_comes() -> None:
    assert bounds().admit([line("x" * 21), line("y")]) == ([line("x" * 20), line("y")], True)


def test_a_cut_never_splits_a_character() -> None:
    admitted, cut = bounds(each=4).admit([line("云云")])
    assert (admitted, cut) == ([line("云")], True)


def test_lines_beyond_the_count_are_dropped_in_any_batch() -> None:
    log = bounds(lines=3)
    assert log.admit([line("1"), line("2")]) == ([line("1"), line("2")], False)
    assert log.admit([line("3"), line("4"), line("5")]) == ([line("3")], True)
    assert log.admit([line("6")]) == ([], True)


def test_after_the_first_line_that_does_not_fit_nothing_fits() -> None:
    log = bounds(total=30)
    assert log.admit([line("x" * 20), line("y" * 20), line("z")]) == ([line("x" * 20)], True)
    assert log.admit([line("z")]) == ([], True)


def test_exactly_full_is_not_cut() -> None:
    log = bounds(total=4, lines=2)
    assert log.admit([line("ab"), line("cd")]) == ([line("ab"), line("cd")], False)
    assert log.admit([]) == ([], False)


@given(
    st.lists(st.lists(st.text(st.characters(exclude_categories=())), max_size=5), max_size=5),
    st.integers(0, 10),
    st.integers(0, 60),
    st.integers(0, 20),
)
def test_no_batch_gets_beyond_the_limits(
    batches: list[list[str]], lines_max: int, total: int, each: int
) -> None:
    log = bounds(lines=lines_max, total=total, each=each)
    given_texts = [text for batch in batches for text in batch]
    taken: list[str] = []
    cut = False
    for batch in batches:
        lines, cut_here = log.admit([line(text) for text in batch])
        taken += [one.text for one in lines]
        cut |= cut_here
    assert len(taken) <= lines_max
    assert sum(map(utf8_size, taken)) <= total
    assert all(utf8_size(text) <= each for text in taken)
    assert taken == [
        text if utf8_size(text) <= each else cut_utf8(text, each)
        for text in given_texts[: len(taken)]
    ]
    assert cut or taken == given_texts
