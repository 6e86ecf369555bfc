"""Jobs and outcomes as bytes: what goes in comes out, and nothing else gets through."""

from __future__ import annotations

import contextlib
from dataclasses import fields, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import MalformedMessageError
from runtime.job_codec import (
    STORED_VERSION,
    VERSION,
    decode_job,
    decode_outcome,
    encode_job,
    encode_outcome,
    split,
)
from runtime.messages import (
    AsyncTerms,
    Bill,
    CallKind,
    Code,
    FunctionLimits,
    Job,
    Outcome,
    Principal,
    Source,
    StoredBytes,
)
from sandbox.api import EgressRules, Fault, OutcomeKind

texts = st.text(max_size=20)
maybe_texts = st.none() | texts
integers = st.integers(-(2**63) + 1, 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)

stored = st.builds(StoredBytes, key=texts, size=integers, digest=texts)

_JOB_FIELDS: dict[str, Any] = {
    "job_id": texts,
    "request_id": texts,
    "space_id": texts,
    "function": texts,
    "code": st.builds(Code, deployment_id=texts, digest=texts, runtime=texts),
    "limits": st.builds(
        FunctionLimits, timeout_s=numbers, memory_mb=integers, concurrency=integers
    ),
    "args": st.binary(max_size=100),
    "source": st.sampled_from(Source),
    "env_sealed": st.binary(max_size=50),
    "egress": st.builds(
        EgressRules, inherit=st.booleans(), allow=st.lists(texts, max_size=3).map(tuple)
    ),
    "trigger_path": maybe_texts,
    "principal": st.builds(
        Principal,
        user_id=maybe_texts,
        app_id=maybe_texts,
        provider=maybe_texts,
        open_id=maybe_texts,
    ),
    "client_ip": maybe_texts,
    "user_agent": maybe_texts,
    "depth": integers,
    "parent_request_id": maybe_texts,
    "wait_ms": integers,
    "space_revision": integers,
    "terms": st.none()
    | st.builds(
        AsyncTerms,
        accepted_ms=integers,
        attempts_max=integers,
        backoff_first_s=numbers,
        backoff_longest_s=numbers,
        retry_function=st.booleans(),
        keep_s=numbers,
        idempotency_key=maybe_texts,
        replay_of=maybe_texts,
    ),
    "args_stored": st.none() | stored,
}
jobs = st.builds(Job, **_JOB_FIELDS)
bills = st.builds(
    Bill,
    queue_ms=numbers,
    cold=st.booleans(),
    start_ms=numbers,
    load_ms=st.none() | numbers,
    run_ms=numbers,
    cpu_ms=st.none() | numbers,
    peak_memory_mb=st.none() | numbers,
    egress_connections=st.none() | integers,
    egress_refused=st.none() | integers,
    egress_bytes=st.none() | integers,
    calls=st.none() | st.dictionaries(st.sampled_from(CallKind), integers),
)
outcomes = (
    st.builds(
        Outcome,
        request_id=texts,
        kind=st.just(OutcomeKind.OK),
        value=st.binary(min_size=1, max_size=100),
        bill=bills,
    )
    | st.builds(
        Outcome,
        request_id=texts,
        kind=st.just(OutcomeKind.OK),
        bill=bills,
        value_stored=stored,
    )
    | st.builds(
        Outcome,
        request_id=texts,
        kind=st.sampled_from([kind for kind in OutcomeKind if kind is not OutcomeKind.OK]),
        fault=st.builds(Fault, name=texts, message=texts, code=maybe_texts, stack=texts),
        bill=bills,
    )
)

JOB = Job(
    job_id="j",
    request_id="r",
    space_id="s",
    function="f",
    code=Code(deployment_id="d", digest="0" * 64),
    limits=FunctionLimits(),
    args=b'{"a": 1}',
    source=Source.CLIENT,
    env_sealed=b"\x00sealed",
)
OUTCOME = Outcome(request_id="r", kind=OutcomeKind.OK, value=b'{"b":2}')


@given(jobs)
def test_a_job_comes_back_as_it_was(job: Job) -> None:
    assert decode_job(encode_job(job)) == job


@given(outcomes)
def test_an_outcome_comes_back_as_it_was(outcome: Outcome) -> None:
    assert decode_outcome(encode_outcome(outcome)) == outcome


@given(jobs)
def test_a_head_alone_is_a_brief_job(job: Job) -> None:
    head, payload = split(encode_job(job))
    assert head + payload == encode_job(job)
    assert decode_job(head, brief=True) == replace(job, args=b"", env_sealed=b"")


@given(outcomes)
def test_a_head_alone_is_a_brief_outcome(outcome: Outcome) -> None:
    head, value = split(encode_outcome(outcome))
    assert value == (outcome.value or b"")
    assert decode_outcome(head, brief=True) == replace(outcome, value=None)


def test_only_what_older_programs_would_misunderstand_has_the_newer_version() -> None:
    where = StoredBytes(key="jobs/s/j/args", size=9, digest="0" * 64)
    assert encode_job(JOB)[2] == encode_outcome(OUTCOME)[2] == VERSION
    encoded = encode_job(replace(JOB, args=b"", args_stored=where))
    assert encoded[2] == STORED_VERSION
    with pytest.raises(MalformedMessageError, match="do not go together"):
        decode_job(encoded[:2] + bytes((VERSION,)) + encoded[3:])
    with pytest.raises(MalformedMessageError, match="do not go together"):
        decode_job(encode_job(JOB)[:2] + bytes((STORED_VERSION,)) + encode_job(JOB)[3:])


def test_payloads_travel_untouched() -> None:
    assert encode_job(JOB).endswith(JOB.env_sealed + JOB.args)
    assert encode_outcome(OUTCOME).endswith(b'{"b":2}')


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_our_words(data: bytes) -> None:
    for decode in (decode_job, decode_outcome):
        with pytest.raises(MalformedMessageError, match="these bytes are no"):
            decode(data)


@given(st.data())
def test_a_damaged_message_is_refused_or_decoded_but_never_breaks(data: st.DataObject) -> None:
    for encoded, decode in (
        (encode_job(JOB), decode_job),
        (encode_outcome(OUTCOME), decode_outcome),
    ):
        damaged = bytearray(encoded[: data.draw(st.integers(0, len(encoded)))])
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(MalformedMessageError):
            decode(bytes(damaged))


def with_header(encoded: bytes, **changes: object) -> bytes:
    """The same message with other header fields; None removes one."""
    end = 7 + int.from_bytes(encoded[3:7])
    fields = {**orjson.loads(encoded[7:end]), **changes}
    text = orjson.dumps({key: value for key, value in fields.items() if value is not None})
    return encoded[:3] + len(text).to_bytes(4) + text + encoded[end:]


def test_unknown_header_fields_are_ignored() -> None:
    assert decode_job(with_header(encode_job(JOB), later={"x": 1})) == JOB
    assert decode_outcome(with_header(encode_outcome(OUTCOME), later=1)) == OUTCOME


def test_an_unknown_version_is_refused() -> None:
    encoded = bytearray(encode_job(JOB))
    encoded[2] = STORED_VERSION + 1
    with pytest.raises(MalformedMessageError, match=f"version {STORED_VERSION + 1}"):
        decode_job(bytes(encoded))


def test_a_job_is_no_outcome() -> None:
    with pytest.raises(MalformedMessageError):
        decode_outcome(encode_job(JOB))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"j": None}, "field j must be a text, not nothing"),
        ({"w": "30"}, "field w must be a whole number, not str"),
        ({"w": True}, "field w must be a whole number, not bool"),
        ({"c": ["d"]}, "field c must be an array of 3"),
        ({"l": [5, 256.5, 1]}, "field l must be a whole number, not float"),
        ({"o": "nobody"}, "unknown source 'nobody'"),
        ({"e": 10_000}, "environment of 10000 bytes"),
        ({"e": -1}, "environment of -1 bytes"),
        ({"t": []}, "field t must be an object"),
        ({"t": {"a": 1}}, "field n must be a whole number"),
        ({"u": [1, 2, 3]}, "field u must be a text"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(MalformedMessageError, match=words):
        decode_job(with_header(encode_job(JOB), **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": "fine"}, "unknown kind 'fine'"),
        ({"k": "timeout"}, "timeout with a value"),
        ({"b": 1}, "field b must be an object"),
        ({"b": {"k": {"db": "many"}}}, "field k must be a whole number"),
    ],
)
def test_a_wrong_field_of_an_outcome_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(MalformedMessageError, match=words):
        decode_outcome(with_header(encode_outcome(OUTCOME), **changes))


def test_a_call_kind_of_a_later_version_is_left_out() -> None:
    encoded = with_header(encode_outcome(OUTCOME), b={"k": {"db": 1, "later": 2}})
    assert decode_outcome(encoded).bill.calls == {CallKind.DB: 1}


def test_text_that_utf_8_cannot_carry_does_not_stop_a_job() -> None:
    job = Job(
        job_id="j",
        request_id="r",
        space_id="s",
        function="f",
        code=JOB.code,
        limits=JOB.limits,
        args=b"{}",
        source=Source.CLIENT,
        user_agent="a\udcffb",
    )
    assert decode_job(encode_job(job)).user_agent == "a\ufffdb"


def test_an_error_does_not_tell_what_the_job_holds() -> None:
    with pytest.raises(MalformedMessageError) as raised:
        decode_job(encode_job(JOB)[:-1].replace(b'"j":"j"', b'"j": 17'))
    assert "sealed" not in str(raised.value)


def test_every_field_of_a_job_is_drawn() -> None:
    """So that a new field cannot be forgotten: a rule of the network that is lost on the way opens it."""
    assert {field.name for field in fields(Job)} == set(_JOB_FIELDS)
