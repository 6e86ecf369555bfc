"""Invocation records as compact documents and back. Pure.

One document per invocation; short names, because they are stored with every document:

    _id  request id            t  started, ms since 1970      k  kind of outcome
    j    job id                f  function                    x  fault: n name, m message,
    s    space id              d  deployment id                  c code, s stack (absent: none)
    c    source                p  parent request id           b  bill: q queue, s start, r run and
    l    lines: [level, time in ms, text]                        u cpu in ms, m peak MB, c cold,
    v    levels that occur in l                                  l load in ms, k calls by kind,
    z    true when lines were cut                                e egress: connections, refused,
                                                                 bytes

Text from functions can hold what UTF-8 cannot (lone surrogates): it becomes U+FFFD, because a record with
a flaw is worth more than no record. Reading ignores unknown fields and tolerates missing ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.messages import Bill, CallKind, InvocationRecord, Source
from sandbox.api import Fault, LogLevel, LogLine, OutcomeKind

Document = dict[str, Any]

_INT64_MAX = 2**63 - 1
_CALL_KINDS = frozenset(kind.value for kind in CallKind)
_FAULT_TEXT_MAX = 256 * 1024
"""Characters of one text of a fault; the rest says nothing new."""


def record_to_document(record: InvocationRecord, *, with_lines: bool = True) -> Document:
    """`with_lines=False` leaves out the log lines and says that they were cut."""
    lines = record.lines if with_lines else ()
    document: Document = {
        "_id": clean(record.request_id),
        "j": clean(record.job_id),
        "s": clean(record.space_id),
        "f": clean(record.function),
        "d": clean(record.deployment_id),
        "c": record.source.value,
        "t": _int64(record.started_ms),
        "k": record.kind.value,
        "b": _bill_to_document(record.bill),
        "v": sorted({line.level.value for line in record.lines}),
        "l": [[line.level.value, _int64(line.time_ms), clean(line.text)] for line in lines],
    }
    if record.lines_cut or len(lines) < len(record.lines):
        document["z"] = True
    if record.parent_request_id is not None:
        document["p"] = clean(record.parent_request_id)
    if record.fault is not None:
        document["x"] = _fault_to_document(record.fault)
    return document


def record_from_document(document: Mapping[str, Any]) -> InvocationRecord:
    """Raises KeyError, TypeError or ValueError for a document that makes no record."""
    return InvocationRecord(
        request_id=document["_id"],
        job_id=document.get("j", ""),
        space_id=document["s"],
        function=document["f"],
        deployment_id=document.get("d", ""),
        source=Source(document["c"]),
        started_ms=int(document["t"]),
        kind=OutcomeKind(document["k"]),
        fault=_fault_from_document(document.get("x")),
        bill=_bill_from_document(document.get("b", {})),
        lines=_lines_from_document(document.get("l", ())),
        lines_cut=document.get("z", False),
        parent_request_id=document.get("p"),
    )


def clean(text: str) -> str:
    """The same text, with U+FFFD for every code unit that UTF-8 cannot carry."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _int64(number: int) -> int:
    return max(-_INT64_MAX, min(number, _INT64_MAX))


def _bill_to_document(bill: Bill) -> Document:
    document: Document = {"q": bill.queue_ms, "c": bill.cold, "s": bill.start_ms, "r": bill.run_ms}
    if bill.cpu_ms is not None:
        document["u"] = bill.cpu_ms
    if bill.peak_memory_mb is not None:
        document["m"] = bill.peak_memory_mb
    if bill.load_ms is not None:
        document["l"] = bill.load_ms
    egress = (bill.egress_connections, bill.egress_refused, bill.egress_bytes)
    if egress != (None, None, None):
        document["e"] = [None if count is None else _int64(count) for count in egress]
    if bill.calls is not None:
        document["k"] = {kind.value: _int64(count) for kind, count in bill.calls.items()}
    return document


def _bill_from_document(document: Mapping[str, Any]) -> Bill:
    connections, refused, egress_bytes = (*document.get("e", ()), None, None, None)[:3]
    calls = document.get("k")
    return Bill(
        queue_ms=document.get("q", 0.0),
        cold=document.get("c", False),
        start_ms=document.get("s", 0.0),
        run_ms=document.get("r", 0.0),
        cpu_ms=document.get("u"),
        peak_memory_mb=document.get("m"),
        load_ms=document.get("l"),
        egress_connections=connections,
        egress_refused=refused,
        egress_bytes=egress_bytes,
        calls=None
        if calls is None
        else {CallKind(kind): int(count) for kind, count in calls.items() if kind in _CALL_KINDS},
    )


def _fault_to_document(fault: Fault) -> Document:
    document: Document = {
        "n": clean(fault.name[:_FAULT_TEXT_MAX]),
        "m": clean(fault.message[:_FAULT_TEXT_MAX]),
    }
    if fault.code is not None:
        document["c"] = clean(fault.code[:_FAULT_TEXT_MAX])
    if fault.stack:
        document["s"] = clean(fault.stack[:_FAULT_TEXT_MAX])
    return document


def _fault_from_document(document: Mapping[str, Any] | None) -> Fault | None:
    if document is None:
        return None
    return Fault(
        name=document.get("n", "Error"),
        message=document.get("m", ""),
        code=document.get("c"),
        stack=document.get("s", ""),
    )


def _lines_from_document(lines: Sequence[Sequence[Any]]) -> tuple[LogLine, ...]:
    return tuple(
        LogLine(level=LogLevel(level), time_ms=int(time_ms), text=text)
        for level, time_ms, text in lines
    )
