"""Invocation records survive the way to a document and back; text becomes storable."""

from __future__ import annotations

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.record_codec import clean, record_from_document, record_to_document
from runtime.messages import Bill, CallKind, InvocationRecord, Source
from runtime.testing.record_store import sample_record
from sandbox.api import Fault, LogLevel, LogLine, OutcomeKind

texts = st.text(max_size=20)
any_code_units = st.text(st.characters(exclude_categories=()), max_size=20)
amounts = st.floats(0, 1e9)
times = st.integers(0, 2**53)
counts = st.integers(0, 2**63 - 1)


def records(text: st.SearchStrategy[str]) -> st.SearchStrategy[InvocationRecord]:
    lines = st.builds(LogLine, level=st.sampled_from(LogLevel), time_ms=times, text=text)
    return st.builds(
        InvocationRecord,
        request_id=text,
        job_id=text,
        space_id=text,
        function=text,
        deployment_id=text,
        source=st.sampled_from(Source),
        started_ms=times,
        kind=st.sampled_from(OutcomeKind),
        fault=st.none()
        | st.builds(Fault, name=text, message=text, code=st.none() | text, stack=text),
        bill=st.builds(
            Bill,
            queue_ms=amounts,
            cold=st.booleans(),
            start_ms=amounts,
            run_ms=amounts,
            cpu_ms=st.none() | amounts,
            peak_memory_mb=st.none() | amounts,
            load_ms=st.none() | amounts,
            egress_connections=st.none() | counts,
            egress_refused=st.none() | counts,
            egress_bytes=st.none() | counts,
            calls=st.none() | st.dictionaries(st.sampled_from(CallKind), counts),
        ),
        lines=st.lists(lines, max_size=4).map(tuple),
        lines_cut=st.booleans(),
        parent_request_id=st.none() | text,
    )


@given(records(texts))
def test_round_trip(record: InvocationRecord) -> None:
    stored = bson.decode(bson.encode(record_to_document(record)))
    assert record_from_document(stored) == record


@given(records(any_code_units))
def test_any_text_can_be_stored(record: InvocationRecord) -> None:
    stored = bson.decode(bson.encode(record_to_document(record)))
    assert len(record_from_document(stored).lines) == len(record.lines)


@given(texts)
def test_good_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud83d\ude00", "😀"),  # two halves of one character
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("好\ud83d", "好\ufffd"),
    ],
    ids=ascii,
)
def test_what_utf8_cannot_carry_is_replaced(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_without_lines_it_still_says_which_levels_there_were() -> None:
    line = LogLine(level=LogLevel.ERROR, time_ms=1, text="x")
    document = record_to_document(sample_record(lines=(line,)), with_lines=False)
    assert document["v"] == ["error"]
    assert document["l"] == []
    assert document["z"] is True


def test_fields_of_other_versions() -> None:
    record = sample_record(bill=Bill(), job_id="", deployment_id="", lines=())
    document = record_to_document(record) | {"future": 1}
    for name in ("b", "j", "d", "l", "v"):
        del document[name]
    assert record_from_document(document) == record


def test_endless_fault_is_cut() -> None:
    fault = Fault(name="E", message="m" * 1_000_000, stack="s" * 1_000_000)
    record = sample_record(kind=OutcomeKind.FUNCTION_ERROR, fault=fault)
    read = record_from_document(record_to_document(record)).fault
    assert read is not None
    assert 0 < len(read.message) == len(read.stack) < 1_000_000
    assert fault.message.startswith(read.message)


def test_bills_of_other_versions_are_read() -> None:
    document = record_to_document(sample_record(bill=Bill(run_ms=2, calls={CallKind.DB: 1})))
    document["b"] = {"r": 2.0}
    assert record_from_document(document).bill == Bill(run_ms=2.0)
    document["b"] = {"r": 2.0, "e": [3], "k": {"db": 1, "queue": 5}, "new": 1}
    assert record_from_document(document).bill == Bill(
        run_ms=2.0, egress_connections=3, calls={CallKind.DB: 1}
    )
