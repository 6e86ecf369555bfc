from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.jobs.endings import Finish, TryAgain, backoff_s, next_step, terms_of, too_old
from runtime.messages import AsyncTerms, JobState
from runtime.testing.ledger_samples import NOW, ledger_job
from runtime.testing.queue import sample_job
from sandbox.api import Blame, OutcomeKind

KINDS = st.sampled_from(list(OutcomeKind))


def step(kind: OutcomeKind, attempt: int = 1, **terms: object) -> Finish | TryAgain:
    return next_step(
        kind,
        AsyncTerms(accepted_ms=0, **terms),  # type: ignore[arg-type]
        attempt=attempt,
        random=lambda: 0.0,
    )


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (OutcomeKind.OK, JobState.SUCCEEDED),
        (OutcomeKind.CANCELLED, JobState.CANCELLED),
        (OutcomeKind.FUNCTION_ERROR, JobState.FAILED),
        (OutcomeKind.OUT_OF_MEMORY, JobState.FAILED),
        (OutcomeKind.RESULT_TOO_LARGE, JobState.FAILED),
        (OutcomeKind.TIMEOUT, JobState.TIMED_OUT),
    ],
)
def test_ends_that_are_not_tried_again(kind: OutcomeKind, state: JobState) -> None:
    for attempt in (1, 3):
        assert step(kind, attempt) == Finish(state=state)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind.blame is Blame.OURS])
def test_our_blame_is_tried_again_until_all_attempts_are_used_up(kind: OutcomeKind) -> None:
    assert step(kind, 1) == TryAgain(delay_s=2.0)
    assert step(kind, 2) == TryAgain(delay_s=4.0)
    assert step(kind, 3) == Finish(state=JobState.DEAD)


@pytest.mark.parametrize("kind", [OutcomeKind.FUNCTION_ERROR, OutcomeKind.TIMEOUT])
def test_the_functions_blame_is_tried_again_only_when_asked_for(kind: OutcomeKind) -> None:
    assert step(kind, 2, retry_function=True) == TryAgain(delay_s=4.0)
    assert step(kind, 3, retry_function=True) == Finish(state=JobState.DEAD)


@given(KINDS, st.booleans(), st.integers(1, 10), st.integers(1, 10))
def test_attempts_are_bounded_and_every_end_is_terminal(
    kind: OutcomeKind, retry: bool, attempt: int, most: int
) -> None:
    answer = step(kind, attempt, retry_function=retry, attempts_max=most)
    if isinstance(answer, Finish):
        assert answer.state.terminal
    else:
        assert attempt < most
    if attempt >= most or kind in {OutcomeKind.OK, OutcomeKind.CANCELLED}:
        assert isinstance(answer, Finish)


@given(
    st.integers(0, 10**9),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
)
def test_backoff_is_bounded(attempt: int, number: float, first: float, longest: float) -> None:
    terms = AsyncTerms(accepted_ms=0, backoff_first_s=first, backoff_longest_s=longest)
    waits = backoff_s(terms, attempt=attempt, random=lambda: number)
    assert 0 <= waits <= longest
    whole = backoff_s(terms, attempt=attempt, random=lambda: 0.0)
    assert 0.8 * whole <= waits <= whole


def test_age_counts_from_acceptance() -> None:
    job = ledger_job(keep_s=60.0)
    assert not too_old(job, NOW + 60_000)
    assert too_old(job, NOW + 60_001)
    with pytest.raises(ValueError, match="synchronous"):
        terms_of(sample_job())
