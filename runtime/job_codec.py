"""The one encoding of `Job` and `Outcome` as bytes, for brokers and the ledger. Pure.

    b"YJ" (job) or b"YO" (outcome) | version, 1 byte | length of the header, 4 bytes big endian
    | header: a small JSON object | payload

The payload is a job's sealed environment and then its arguments, or an outcome's value: raw, never encoded
again. Header keys are short, because they travel with every call; those that hold a default are left out.
Keys that are not known are ignored, so that a field can be added; a change of meaning takes a new version:

    1   as above
    2   the same, but arguments or value are not here: the header says where they are stored

Each message has the lowest version that says all of it, so that an older program refuses only what it would
misunderstand.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from runtime.job_header import Header, malformed
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
from sandbox.api import INHERITED, EgressRules, Fault, OutcomeKind

VERSION = 1
STORED_VERSION = 2

_JOB = b"YJ"
_OUTCOME = b"YO"
_PREFIX_BYTES = 7
_CALL_KINDS = frozenset(kind.value for kind in CallKind)


def encode_job(job: Job) -> bytes:
    """Text that UTF-8 cannot carry (lone surrogates of a client's header) becomes U+FFFD."""
    header: dict[str, Any] = {
        "j": job.job_id,
        "r": job.request_id,
        "s": job.space_id,
        "f": job.function,
        "c": [job.code.deployment_id, job.code.digest, job.code.runtime],
        "l": [job.limits.timeout_s, job.limits.memory_mb, job.limits.concurrency],
        "o": job.source.value,
        "w": job.wait_ms,
    }
    if job.env_sealed:
        header["e"] = len(job.env_sealed)
    if job.egress != INHERITED:
        header["g"] = [job.egress.inherit, *job.egress.allow]
    if job.space_revision:
        header["v"] = job.space_revision
    principal = job.principal
    if principal != _NOBODY:
        header["u"] = [
            principal.user_id,
            principal.app_id,
            principal.provider,
            principal.open_id,
        ]
    if job.depth:
        header["d"] = job.depth
    texts = {
        "p": job.trigger_path,
        "i": job.client_ip,
        "a": job.user_agent,
        "m": job.parent_request_id,
    }
    header |= {key: text for key, text in texts.items() if text is not None}
    if job.terms is not None:
        header["t"] = _terms_to_header(job.terms)
    payload = job.env_sealed + job.args if job.env_sealed else job.args
    return _pack(_JOB, header, payload, job.args_stored)


def split(data: bytes) -> tuple[bytes, bytes]:
    """What was encoded, as its head and its payload: joined they are the whole, the head alone is `brief`."""
    end = _PREFIX_BYTES + int.from_bytes(data[3:_PREFIX_BYTES])
    return data[:end], data[end:]


def decode_job(data: bytes, *, brief: bool = False) -> Job:
    """Raises MalformedMessageError that says what is wrong. `brief`: `data` is a head, the job is without
    arguments and environment."""
    header, payload = _unpack(_JOB, data, "job")
    deployment_id, digest, runtime = header.texts("c", 3)
    timeout_s, memory_mb, concurrency = header.items("l", 3)
    env_bytes = 0 if brief else header.integer("e", 0)
    if not 0 <= env_bytes <= len(payload):
        raise malformed("job", f"environment of {env_bytes} bytes in {len(payload)}")
    source = header.text("o")
    if source not in _SOURCES:
        raise malformed("job", f"unknown source {source[:40]!r}")
    return Job(
        job_id=header.text("j"),
        request_id=header.text("r"),
        space_id=header.text("s"),
        function=header.text("f"),
        code=Code(deployment_id=deployment_id, digest=digest, runtime=runtime),
        limits=FunctionLimits(
            timeout_s=header.as_number("l", timeout_s),
            memory_mb=header.as_integer("l", memory_mb),
            concurrency=header.as_integer("l", concurrency),
        ),
        args=b"" if brief else payload[env_bytes:],
        source=_SOURCES[source],
        env_sealed=payload[:env_bytes],
        egress=_egress(header),
        space_revision=header.integer("v", 0),
        trigger_path=header.optional_text("p"),
        principal=_principal(header),
        client_ip=header.optional_text("i"),
        user_agent=header.optional_text("a"),
        depth=header.integer("d", 0),
        parent_request_id=header.optional_text("m"),
        wait_ms=header.integer("w"),
        terms=_terms_from_header(header),
        args_stored=_stored(header),
    )


def encode_outcome(outcome: Outcome) -> bytes:
    """As `encode_job`, also for text that a function made."""
    header: dict[str, Any] = {
        "r": outcome.request_id,
        "k": outcome.kind.value,
        "b": _bill_to_header(outcome.bill),
    }
    fault = outcome.fault
    if fault is not None:
        header["x"] = [fault.name, fault.message, fault.code, fault.stack]
    return _pack(_OUTCOME, header, outcome.value or b"", outcome.value_stored)


def decode_outcome(data: bytes, *, brief: bool = False) -> Outcome:
    """Raises MalformedMessageError that says what is wrong. `brief`: `data` is a head, the outcome is without
    its value."""
    header, payload = _unpack(_OUTCOME, data, "outcome")
    kind = header.text("k")
    if kind not in _KINDS:
        raise malformed("outcome", f"unknown kind {kind[:40]!r}")
    ok = kind == OutcomeKind.OK.value
    stored = _stored(header)
    if not brief and (ok and stored is None) != bool(payload):
        raise malformed("outcome", f"{kind} with a value of {len(payload)} bytes")
    fault = None
    if not ok:
        name, message, code, stack = header.items("x", 4)
        fault = Fault(
            name=header.as_text("x", name),
            message=header.as_text("x", message),
            code=None if code is None else header.as_text("x", code),
            stack=header.as_text("x", stack),
        )
    return Outcome(
        request_id=header.text("r"),
        kind=_KINDS[kind],
        value=payload if ok and payload and not brief else None,
        fault=fault,
        bill=_bill_from_header(header.inner("b")),
        value_stored=stored,
    )


_NOBODY = Principal()
_SOURCES = {source.value: source for source in Source}
_KINDS = {kind.value: kind for kind in OutcomeKind}


def _pack(mark: bytes, header: dict[str, Any], payload: bytes, stored: StoredBytes | None) -> bytes:
    version = VERSION
    if stored is not None:
        version = STORED_VERSION
        header["z"] = [stored.key, stored.size, stored.digest]
    try:
        text = orjson.dumps(header)
    except TypeError:  # a lone surrogate
        loose = json.dumps(header, ensure_ascii=False)
        text = loose.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    return b"".join((mark, bytes((version,)), len(text).to_bytes(4), text, payload))


def _unpack(mark: bytes, data: bytes, what: str) -> tuple[Header, bytes]:
    if len(data) < _PREFIX_BYTES or data[:2] != mark:
        raise malformed(what, f"{len(data)} bytes that do not begin as one")
    if not VERSION <= data[2] <= STORED_VERSION:
        known = f"{VERSION} to {STORED_VERSION}"
        raise malformed(what, f"version {data[2]}, this program knows {known}")
    end = _PREFIX_BYTES + int.from_bytes(data[3:_PREFIX_BYTES])
    if end > len(data):
        raise malformed(what, f"cut off: {len(data)} bytes, the header alone ends at {end}")
    try:
        fields = orjson.loads(data[_PREFIX_BYTES:end])
    except ValueError as error:
        raise malformed(what, f"its header is no JSON ({error})") from None
    if type(fields) is not dict:
        raise malformed(what, "its header is no JSON object")
    if (data[2] == STORED_VERSION) != ("z" in fields):
        raise malformed(
            what, f"version {data[2]} and where its bytes are stored do not go together"
        )
    return Header(fields, what), data[end:]


def _stored(header: Header) -> StoredBytes | None:
    if "z" not in header:
        return None
    key, size, digest = header.items("z", 3)
    return StoredBytes(
        key=header.as_text("z", key),
        size=header.as_integer("z", size),
        digest=header.as_text("z", digest),
    )


def _egress(header: Header) -> EgressRules:
    """Absent: nothing but what everybody has. What cannot be read is refused, never taken for that."""
    if "g" not in header:
        return INHERITED
    inherit, *allow = header.items("g", 1, more=True)
    if type(inherit) is not bool:
        raise malformed("job", "egress rules without their mode")
    return EgressRules(inherit=inherit, allow=tuple(header.as_text("g", rule) for rule in allow))


def _principal(header: Header) -> Principal:
    if "u" not in header:
        return _NOBODY
    user_id, app_id, provider, *rest = (
        None if item is None else header.as_text("u", item)
        for item in header.items("u", 3, more=True)
    )
    open_id = rest[0] if rest else None  # jobs of an older version have none
    return Principal(user_id=user_id, app_id=app_id, provider=provider, open_id=open_id)


def _terms_to_header(terms: AsyncTerms) -> dict[str, Any]:
    header: dict[str, Any] = {
        "a": terms.accepted_ms,
        "n": terms.attempts_max,
        "b": terms.backoff_first_s,
        "l": terms.backoff_longest_s,
        "k": terms.keep_s,
    }
    if terms.retry_function:
        header["f"] = True
    if terms.idempotency_key is not None:
        header["i"] = terms.idempotency_key
    if terms.fingerprint is not None:
        header["h"] = terms.fingerprint
    if terms.replay_of is not None:
        header["r"] = terms.replay_of
    return header


def _terms_from_header(outer: Header) -> AsyncTerms | None:
    if "t" not in outer:
        return None
    header = outer.inner("t")
    return AsyncTerms(
        accepted_ms=header.integer("a"),
        attempts_max=header.integer("n"),
        backoff_first_s=header.number("b"),
        backoff_longest_s=header.number("l"),
        retry_function=header.flag("f"),
        keep_s=header.number("k"),
        idempotency_key=header.optional_text("i"),
        fingerprint=header.optional_text("h"),
        replay_of=header.optional_text("r"),
    )


def _bill_to_header(bill: Bill) -> dict[str, Any]:
    header: dict[str, Any] = {"q": bill.queue_ms, "s": bill.start_ms, "r": bill.run_ms}
    if bill.cold:
        header["c"] = True
    if bill.load_ms is not None:
        header["l"] = bill.load_ms
    if bill.cpu_ms is not None:
        header["u"] = bill.cpu_ms
    if bill.peak_memory_mb is not None:
        header["m"] = bill.peak_memory_mb
    egress = [bill.egress_connections, bill.egress_refused, bill.egress_bytes]
    if egress != [None, None, None]:
        header["e"] = egress
    if bill.calls is not None:
        header["k"] = {kind.value: count for kind, count in bill.calls.items()}
    return header


def _bill_from_header(header: Header) -> Bill:
    connections, refused, egress_bytes = (
        (None if item is None else header.as_integer("e", item) for item in header.items("e", 3))
        if "e" in header
        else (None, None, None)
    )
    calls = header.mapping("k")
    return Bill(
        queue_ms=header.number("q", 0.0),
        cold=header.flag("c"),
        start_ms=header.number("s", 0.0),
        load_ms=header.optional_number("l"),
        run_ms=header.number("r", 0.0),
        cpu_ms=header.optional_number("u"),
        peak_memory_mb=header.optional_number("m"),
        egress_connections=connections,
        egress_refused=refused,
        egress_bytes=egress_bytes,
        calls=None
        if calls is None
        else {
            CallKind(kind): header.as_integer("k", count)
            for kind, count in calls.items()
            if kind in _CALL_KINDS
        },
    )
