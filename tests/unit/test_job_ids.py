from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from runtime.ids import new_job_id
from runtime.job_ids import JobIds

IDS = JobIds(b"k" * 32)


def test_ids_are_valid_for_their_space_and_key_only() -> None:
    job_id = IDS.new("mp-1")
    assert IDS.valid(job_id, "mp-1")
    assert JobIds(b"k" * 32).valid(job_id, "mp-1")
    assert not IDS.valid(job_id, "mp-2")
    assert not JobIds(b"x" * 32).valid(job_id, "mp-1")
    assert not IDS.valid(new_job_id(), "mp-1")
    assert not IDS.valid(new_job_id() + "0" * 16, "mp-1")
    assert "k" * 4 not in repr(IDS)


@given(st.integers(0, 47), st.sampled_from(string.hexdigits))
def test_no_other_character_at_any_place_is_valid(at: int, other: str) -> None:
    job_id = IDS.new("mp-1")
    changed = job_id[:at] + other + job_id[at + 1 :]
    assert IDS.valid(changed, "mp-1") == (changed == job_id)


@given(st.text(max_size=60), st.text(max_size=9))
def test_anything_may_be_asked(job_id: str, space_id: str) -> None:
    assert not IDS.valid(job_id, space_id)
    assert IDS.valid(IDS.new(space_id), space_id)


def test_ids_tell_when_they_were_made() -> None:
    first, second = IDS.new("a"), IDS.new("b")
    assert 1_600_000_000_000 < IDS.made_ms(first) <= IDS.made_ms(second)
    assert first != second
