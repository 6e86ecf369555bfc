from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.api import Fault, FileHosts, Limits, LogLevel, LogLine, OutcomeKind, Usage, WechatUser
from sandbox.frame_codec import SANDBOX_DECODERS, WORKER_DECODERS
from sandbox.frames import (
    Bind,
    Bound,
    Call,
    Frame,
    FrameError,
    Grant,
    Hello,
    Invoke,
    Log,
    Reply,
    Reserve,
    Result,
)
from sandbox.log_lines import read_log_lines
from sandbox.protocol import (
    HEADER_MAX_BYTES,
    FrameParser,
    ResultTooLongError,
    encode,
    sandbox_payload_bounds,
)
from tests.harness.log_lines import write_log_lines

GOLDEN = json.loads((Path(__file__).parents[1] / "frames" / "golden.json").read_text("utf-8"))
MIB = 1024 * 1024
WORKER_BOUNDS = {"bind": MIB, "invoke": MIB, "reply": MIB, "grant": 0}


def parser_of(direction: str, **limits: Any) -> FrameParser:
    """A parser of the frames that go `to_worker` or `to_sandbox`."""
    if direction == "to_sandbox":
        return FrameParser(WORKER_DECODERS, WORKER_BOUNDS)
    return FrameParser(SANDBOX_DECODERS, sandbox_payload_bounds(Limits(**limits)))


def by_name(rows: list[dict[str, Any]]) -> list[Any]:
    both = ["to_worker", "to_sandbox"]
    return [
        pytest.param(direction, row, id=f"{row['name']} {direction}")
        for row in rows
        for direction in (both if row["direction"] == "both" else [row["direction"]])
    ]


def read(parser: FrameParser, *chunks: bytes) -> tuple[list[Frame], str | None]:
    """What arrives until the chunks end or the protocol is broken, and how it was broken."""
    frames: list[Frame] = []
    try:
        for chunk in chunks:
            for frame in parser.feed(chunk):
                frames.append(frame)  # noqa: PERF402 - what came before an error is kept
    except FrameError as error:
        return frames, error.code
    return frames, None


# --- golden frames ----------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "row"), by_name(GOLDEN["valid"]))
def test_a_golden_frame_is_read_and_written_byte_for_byte(
    direction: str, row: dict[str, Any]
) -> None:
    data = bytes.fromhex(row["hex"])
    [frame] = parser_of(direction).feed(data)
    assert encode(frame) == data


@pytest.mark.parametrize(("direction", "row"), by_name(GOLDEN["malformed"]))
def test_a_malformed_golden_frame_is_refused_for_its_reason(
    direction: str, row: dict[str, Any]
) -> None:
    parser = parser_of(direction)
    if row["error"] == "truncated":
        assert list(parser.feed(bytes.fromhex(row["hex"]))) == []
        assert parser.truncated
        return
    with pytest.raises(FrameError) as caught:
        read_with_logs(parser, bytes.fromhex(row["hex"]))
    assert caught.value.code == row["error"]


def read_with_logs(parser: FrameParser, data: bytes) -> None:
    """Also what the worker reads of a log only while it is open."""
    for frame in parser.feed(data):
        assert isinstance(frame, Log)
        read_log_lines(frame.lines, 10)


def test_a_golden_result_carries_everything() -> None:
    rows = {row["name"]: bytes.fromhex(row["hex"]) for row in GOLDEN["valid"]}
    [frame] = parser_of("to_worker").feed(rows["result after an unhandled rejection"])
    assert frame == Result(
        id="req-0002",
        kind=OutcomeKind.FUNCTION_ERROR,
        fault=Fault(name="Error", message="late", code="4001", stack="Error: late"),
        usage=Usage(run_ms=12.5, cpu_ms=None, peak_memory_mb=48.5),
        recycle=True,
    )
    [frame] = parser_of("to_worker").feed(rows["call as a user"])
    assert isinstance(frame, Call)
    assert frame.user_id == "user-1"


def test_a_golden_bind_carries_its_environment() -> None:
    rows = {row["name"]: bytes.fromhex(row["hex"]) for row in GOLDEN["valid"]}
    [frame] = parser_of("to_sandbox").feed(rows["bind with an environment"])
    assert isinstance(frame, Bind)
    assert frame.env == {"EMPTY": "", "GREETING": "你好 😀", "LINES": 'one\n"two" = 2'}
    assert "你好" not in repr(frame)
    [frame] = parser_of("to_sandbox").feed(rows["bind"])
    assert isinstance(frame, Bind)
    assert frame.env == {}


def test_a_golden_bind_tells_where_files_are() -> None:
    rows = {row["name"]: bytes.fromhex(row["hex"]) for row in GOLDEN["valid"]}
    [frame] = parser_of("to_sandbox").feed(rows["bind with another way to files"])
    assert isinstance(frame, Bind)
    assert frame.files == FileHosts(
        public="https://localhost:8743/oss", internal="http://files.yunhan.internal/oss"
    )
    [frame] = parser_of("to_sandbox").feed(rows["bind"])
    assert isinstance(frame, Bind)
    assert frame.files is None


@pytest.mark.parametrize("payload", [b'{"A":', b'["hush"]', b'"hush"', b"null", b'{"A":1}'])
def test_an_environment_that_is_no_object_of_texts_is_refused_unquoted(payload: bytes) -> None:
    golden = next(row for row in GOLDEN["valid"] if row["name"] == "bind")
    header = json.dumps(golden["header"]).encode()
    data = len(header).to_bytes(4) + len(payload).to_bytes(4) + header + payload
    with pytest.raises(FrameError) as caught:
        list(parser_of("to_sandbox").feed(data))
    assert caught.value.code == "bad_payload"
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


# --- round trips ------------------------------------------------------------------------------

texts = st.text(max_size=40)
ids = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=40)
numbers = st.integers(0, 2**53 - 1)
figures = st.none() | st.floats(0, 2**52)
payloads = st.binary(max_size=200)
faults = st.builds(Fault, name=texts, message=texts, code=st.none() | texts, stack=texts)
usages = st.builds(Usage, run_ms=figures, cpu_ms=figures, peak_memory_mb=figures)
log_lines = st.builds(LogLine, level=st.sampled_from(LogLevel), time_ms=numbers, text=texts)
wire_limits = st.builds(
    Limits,
    result_max_bytes=numbers,
    call_max_bytes=numbers,
    calls_in_flight_max=numbers,
    log_line_max_bytes=numbers,
    log_lines_max=numbers,
    log_max_bytes=numbers,
)
worker_frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        Bind,
        id=ids,
        space=texts,
        function=texts,
        deployment=texts,
        code_dir=texts,
        limits=wire_limits,
        files=st.none() | st.builds(FileHosts, public=texts, internal=texts),
    ),
    st.builds(
        Invoke,
        id=ids,
        env=st.dictionaries(texts, texts, max_size=5),
        timeout_ms=numbers,
        args=payloads,
        trigger_path=st.none() | texts,
        user=st.none() | st.builds(WechatUser, open_id=texts, app_id=texts),
    ),
    st.builds(Reply, id=ids, call=numbers, envelope=payloads),
    st.builds(Grant, id=ids, call=numbers),
)
sandbox_frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Hello, protocol=numbers, node=texts, pid=numbers),
    st.builds(Bound, id=ids, load_ms=figures),
    st.builds(Bound, id=ids, fault=faults),
    st.builds(Log, id=ids, cut=st.booleans(), lines=payloads),
    st.builds(Reserve, id=ids, call=numbers, size=numbers),
    st.builds(Call, id=ids, call=numbers, method=texts, params=payloads, user_id=st.none() | texts),
    st.builds(Result, id=ids, value=payloads, usage=usages, recycle=st.booleans()),
    st.builds(
        Result,
        id=ids,
        kind=st.sampled_from(
            [
                OutcomeKind.FUNCTION_ERROR,
                OutcomeKind.RESULT_NOT_SERIALIZABLE,
                OutcomeKind.RESULT_TOO_LARGE,
            ]
        ),
        fault=faults,
        usage=usages,
        recycle=st.booleans(),
    ),
)


@st.composite
def chopped(draw: st.DrawFn, frames: st.SearchStrategy[Frame]) -> tuple[list[Frame], list[bytes]]:
    """Some frames, and their bytes in chunks of any size."""
    sent = draw(st.lists(frames, min_size=1, max_size=5))
    data = b"".join(map(encode, sent))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return sent, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(chopped(sandbox_frames))
def test_what_a_sandbox_sends_arrives_however_it_is_chopped(
    sent: tuple[list[Frame], list[bytes]],
) -> None:
    check_round_trip("to_worker", *sent)


@given(chopped(worker_frames))
def test_what_a_worker_sends_arrives_however_it_is_chopped(
    sent: tuple[list[Frame], list[bytes]],
) -> None:
    check_round_trip("to_sandbox", *sent)


@given(st.lists(log_lines, max_size=4), st.integers(0, 5))
def test_log_lines_are_read_as_they_were_written(lines: list[LogLine], at_most: int) -> None:
    assert read_log_lines(write_log_lines(lines), at_most) == tuple(lines[:at_most])


def check_round_trip(direction: str, frames: list[Frame], chunks: list[bytes]) -> None:
    parser = parser_of(direction)
    assert [frame for chunk in chunks for frame in parser.feed(chunk)] == frames
    assert not parser.truncated


def test_byte_by_byte() -> None:
    frames: list[Frame] = [
        Hello(protocol=1, node="v24.0.0", pid=7),
        Result(id="r", value=b'{"a":1}'),
    ]
    parser = parser_of("to_worker")
    data = b"".join(map(encode, frames))
    seen = [
        (position, frame)
        for position in range(len(data))
        for frame in parser.feed(data[position : position + 1])
    ]
    ends = [len(encode(frames[0])) - 1, len(data) - 1]
    assert seen == list(zip(ends, frames, strict=True))


# --- garbage ----------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_garbage_gives_frames_or_a_frame_error_and_nothing_else(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    assert read(parser_of("to_worker"), *chunks) == read(parser_of("to_worker"), data)


headers = st.dictionaries(
    st.sampled_from(
        ["id", "ok", "kind", "fault", "call", "method", "userId", "cut", "recycle", "runMs"]
    )
    | st.sampled_from(["protocol", "node", "pid", "loadMs"])
    | texts,
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([*SANDBOX_DECODERS, "function_error", "ok"])
    | texts
    | st.dictionaries(st.sampled_from(["name", "message", "stack", "code"]), texts | st.none())
    | st.lists(texts),
)


@given(headers, st.sampled_from([*SANDBOX_DECODERS]), payloads)
def test_any_header_gives_a_frame_or_a_frame_error(
    header: dict[str, Any], name: str, payload: bytes
) -> None:
    frames, error = read(parser_of("to_worker"), raw({**header, "t": name}, payload))
    assert (len(frames), error) in {
        (1, None),
        (0, "bad_member"),
        (0, "bad_payload"),
        (0, "payload_too_long"),
    }


@given(chopped(sandbox_frames))
def test_good_frames_before_a_bad_one_are_delivered(
    sent: tuple[list[Frame], list[bytes]],
) -> None:
    frames, chunks = sent
    received = read(parser_of("to_worker"), b"".join(chunks) + b"garbage!")
    assert received == (frames, "header_too_long")


# --- bounds -----------------------------------------------------------------------------------


def raw(header: Mapping[str, Any], payload: bytes = b"", *, payload_length: int = -1) -> bytes:
    text = orjson.dumps(header)
    length = len(payload) if payload_length < 0 else payload_length
    return len(text).to_bytes(4, "big") + length.to_bytes(4, "big") + text + payload


def test_each_payload_is_bounded_before_it_is_read() -> None:
    limits = {"result_max_bytes": 100, "call_max_bytes": 50, "log_line_max_bytes": 10}
    for header, length in [
        ({"t": "call", "id": "r", "call": 1, "method": "m"}, 51),
        ({"t": "log", "id": "r", "cut": False}, 64 * 1024 + 10 * 6 + 1),
        ({"t": "reserve", "id": "r", "call": 1, "bytes": 1}, 1),
        ({"t": "hello", "protocol": 1, "node": "v24.0.0", "pid": 1}, 1),
        ({"t": "bound", "id": "r", "ok": True}, 1),
    ]:
        with pytest.raises(FrameError) as caught:
            list(parser_of("to_worker", **limits).feed(raw(header, payload_length=length)))
        assert caught.value.code == "payload_too_long"


def test_too_long_a_result_names_its_invocation() -> None:
    header = {"t": "result", "id": "req-7", "ok": True}
    parser = parser_of("to_worker", result_max_bytes=100)
    [frame] = parser.feed(raw(header, b"x" * 100))
    assert isinstance(frame, Result)
    with pytest.raises(ResultTooLongError, match="101 bytes, the limit is 100") as caught:
        list(parser.feed(raw(header, payload_length=101)))
    assert caught.value.request_id == "req-7"


def test_a_full_batch_and_the_longest_line_in_its_longest_json_form_fit() -> None:
    limits = Limits()
    batch = LogLine(level=LogLevel.DEBUG, time_ms=2**53 - 1, text="云" * (16 * 1024))
    last = replace(batch, text="\x00" * limits.log_line_max_bytes)
    frame = Log(id="r", cut=False, lines=write_log_lines([batch, last]))
    assert list(FrameParser.for_worker(limits, lambda *_: 0).feed(encode(frame))) == [frame]


def test_a_header_of_exactly_the_bound_passes_and_one_more_does_not() -> None:
    short = len(raw({"t": "call", "id": "", "call": 1, "method": "m"})) - 8
    fits = "x" * (HEADER_MAX_BYTES - short)
    [frame] = parser_of("to_worker").feed(encode(Call(id=fits, call=1, method="m", params=b"")))
    assert isinstance(frame, Call)
    assert frame.id == fits
    with pytest.raises(ValueError, match=f"{HEADER_MAX_BYTES + 1} bytes"):
        encode(Call(id=fits + "x", call=1, method="m", params=b""))


def test_lone_surrogates_in_a_header_do_not_break_the_channel() -> None:
    header = (
        b'{"t":"bound","id":"r","ok":false,"fault":{"name":"E","message":"\\ud800!","stack":""}}'
    )
    data = len(header).to_bytes(4, "big") + bytes(4) + header
    [frame] = parser_of("to_worker").feed(data)
    assert frame == Bound(id="r", fault=Fault(name="E", message="?!"))
    assert b"agent ?" in encode(Invoke(id="r", env={"MP_USER_AGENT": "agent \udc80"}, timeout_ms=1))
