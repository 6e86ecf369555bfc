"""A frame's header and payload, to and from its typed value (node_bootstrap/PROTOCOL.md). Pure.

Everything that comes from a sandbox is checked member by member: a function may own the other end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sandbox.api import Fault, FileHosts, Limits, OutcomeKind, Usage, WechatUser
from sandbox.frames import (
    Bind,
    Bound,
    Call,
    Exiting,
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
from sandbox.json_text import JsonError, dump_json, load_json

_SAFE_INTEGER_MAX = 2**53 - 1
_FAILED_KINDS = {
    kind.value: kind
    for kind in (
        OutcomeKind.FUNCTION_ERROR,
        OutcomeKind.RESULT_NOT_SERIALIZABLE,
        OutcomeKind.RESULT_TOO_LARGE,
    )
}
_WIRE_LIMITS = {
    "resultMaxBytes": "result_max_bytes",
    "callMaxBytes": "call_max_bytes",
    "callsInFlightMax": "calls_in_flight_max",
    "logLineMaxBytes": "log_line_max_bytes",
    "logLinesMax": "log_lines_max",
    "logMaxBytes": "log_max_bytes",
}

# --- header members ---------------------------------------------------------------------------


def _text(header: Mapping[str, Any], name: str) -> str:
    value = header.get(name)
    if type(value) is not str:
        raise FrameError("bad_member", f"member {name} of the frame is not text")
    return value


def _optional_text(header: Mapping[str, Any], name: str) -> str | None:
    return None if header.get(name) is None else _text(header, name)


def _flag(header: Mapping[str, Any], name: str, *, default: bool | None = None) -> bool:
    value = header.get(name, default)
    if type(value) is not bool:
        raise FrameError("bad_member", f"member {name} of the frame is not true or false")
    return value


def _integer(header: Mapping[str, Any], name: str) -> int:
    value = header.get(name)
    if type(value) is not int or not 0 <= value <= _SAFE_INTEGER_MAX:
        raise FrameError("bad_member", f"member {name} of the frame is not a whole number >= 0")
    return value


def _figure(header: Mapping[str, Any], name: str) -> float | None:
    value = header.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= _SAFE_INTEGER_MAX:
        raise FrameError("bad_member", f"member {name} of the frame is not a number >= 0")
    return float(value)


def _object(header: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = header.get(name)
    if type(value) is not dict:
        raise FrameError("bad_member", f"member {name} of the frame is not an object")
    return value


def _fault(header: Mapping[str, Any]) -> Fault:
    fault = _object(header, "fault")
    return Fault(
        name=_text(fault, "name"),
        message=_text(fault, "message"),
        code=_optional_text(fault, "code"),
        stack=_text(fault, "stack"),
    )


def _wire_fault(fault: Fault) -> dict[str, str]:
    code = {} if fault.code is None else {"code": fault.code}
    return {"name": fault.name, "message": fault.message, **code, "stack": fault.stack}


# --- one pair of functions per frame -------------------------------------------------------------


def _decode_bind(header: Mapping[str, Any], payload: bytes) -> Bind:
    limits = _object(header, "limits")
    return Bind(
        id=_text(header, "id"),
        space=_text(header, "space"),
        function=_text(header, "function"),
        deployment=_text(header, "deployment"),
        code_dir=_text(header, "codeDir"),
        limits=Limits(**{ours: _integer(limits, wire) for wire, ours in _WIRE_LIMITS.items()}),
        env=_environment(payload) if payload else {},
        files=None if header.get("files") is None else _file_hosts(_object(header, "files")),
    )


def _file_hosts(files: Mapping[str, Any]) -> FileHosts:
    return FileHosts(public=_text(files, "public"), internal=_text(files, "internal"))


def _environment(payload: bytes) -> dict[str, str]:
    """Errors quote nothing of it: it holds secrets."""
    try:
        variables = load_json(payload)
    except JsonError:
        raise FrameError("bad_payload", "the environment is not JSON") from None
    if type(variables) is not dict or any(type(value) is not str for value in variables.values()):
        raise FrameError("bad_payload", "the environment is not an object of texts")
    return variables


def _encode_bind(frame: Bind) -> tuple[dict[str, Any], bytes]:
    header: dict[str, Any] = {
        "t": "bind",
        "id": frame.id,
        "space": frame.space,
        "function": frame.function,
        "deployment": frame.deployment,
        "codeDir": frame.code_dir,
        "limits": {wire: getattr(frame.limits, ours) for wire, ours in _WIRE_LIMITS.items()},
    }
    if frame.files is not None:
        header["files"] = {"public": frame.files.public, "internal": frame.files.internal}
    return header, dump_json(dict(frame.env)) if frame.env else b""


def _decode_invoke(header: Mapping[str, Any], payload: bytes) -> Invoke:
    env = _object(header, "env")
    return Invoke(
        id=_text(header, "id"),
        env={name: _text(env, name) for name in env},
        timeout_ms=_integer(header, "timeoutMs"),
        args=payload,
        trigger_path=_optional_text(header, "triggerPath"),
        user=None if header.get("user") is None else _user(_object(header, "user")),
    )


def _user(user: Mapping[str, Any]) -> WechatUser:
    return WechatUser(open_id=_text(user, "openId"), app_id=_text(user, "appId"))


def _encode_invoke(frame: Invoke) -> tuple[dict[str, Any], bytes]:
    header: dict[str, Any] = {
        "t": "invoke",
        "id": frame.id,
        "env": dict(frame.env),
        "timeoutMs": frame.timeout_ms,
    }
    if frame.trigger_path is not None:
        header["triggerPath"] = frame.trigger_path
    if frame.user is not None:
        header["user"] = {"openId": frame.user.open_id, "appId": frame.user.app_id}
    return header, frame.args


def _decode_reply(header: Mapping[str, Any], payload: bytes) -> Reply:
    return Reply(id=_text(header, "id"), call=_integer(header, "call"), envelope=payload)


def _encode_reply(frame: Reply) -> tuple[dict[str, Any], bytes]:
    return {"t": "reply", "id": frame.id, "call": frame.call}, frame.envelope


def _decode_grant(header: Mapping[str, Any], _payload: bytes) -> Grant:
    return Grant(id=_text(header, "id"), call=_integer(header, "call"))


def _encode_grant(frame: Grant) -> tuple[dict[str, Any], bytes]:
    return {"t": "grant", "id": frame.id, "call": frame.call}, b""


def _decode_hello(header: Mapping[str, Any], _payload: bytes) -> Hello:
    return Hello(
        protocol=_integer(header, "protocol"),
        node=_text(header, "node"),
        pid=_integer(header, "pid"),
    )


def _encode_hello(frame: Hello) -> tuple[dict[str, Any], bytes]:
    return {"t": "hello", "protocol": frame.protocol, "node": frame.node, "pid": frame.pid}, b""


def _decode_bound(header: Mapping[str, Any], _payload: bytes) -> Bound:
    if _flag(header, "ok"):
        return Bound(id=_text(header, "id"), load_ms=_figure(header, "loadMs"))
    return Bound(id=_text(header, "id"), fault=_fault(header), load_ms=_figure(header, "loadMs"))


def _encode_bound(frame: Bound) -> tuple[dict[str, Any], bytes]:
    header: dict[str, Any] = {"t": "bound", "id": frame.id, "ok": frame.fault is None}
    if frame.fault is not None:
        header["fault"] = _wire_fault(frame.fault)
    header["loadMs"] = frame.load_ms
    return header, b""


def _decode_log(header: Mapping[str, Any], payload: bytes) -> Log:
    return Log(id=_text(header, "id"), cut=_flag(header, "cut"), lines=payload)


def _encode_log(frame: Log) -> tuple[dict[str, Any], bytes]:
    return {"t": "log", "id": frame.id, "cut": frame.cut}, frame.lines


def _decode_reserve(header: Mapping[str, Any], _payload: bytes) -> Reserve:
    return Reserve(
        id=_text(header, "id"), call=_integer(header, "call"), size=_integer(header, "bytes")
    )


def _encode_reserve(frame: Reserve) -> tuple[dict[str, Any], bytes]:
    return {"t": "reserve", "id": frame.id, "call": frame.call, "bytes": frame.size}, b""


def _decode_call(header: Mapping[str, Any], payload: bytes) -> Call:
    return Call(
        id=_text(header, "id"),
        call=_integer(header, "call"),
        method=_text(header, "method"),
        params=payload,
        user_id=_optional_text(header, "userId"),
    )


def _encode_call(frame: Call) -> tuple[dict[str, Any], bytes]:
    header: dict[str, Any] = {
        "t": "call",
        "id": frame.id,
        "call": frame.call,
        "method": frame.method,
    }
    if frame.user_id is not None:
        header["userId"] = frame.user_id
    return header, frame.params


def _decode_result(header: Mapping[str, Any], payload: bytes) -> Result:
    usage = Usage(
        run_ms=_figure(header, "runMs"),
        cpu_ms=_figure(header, "cpuMs"),
        peak_memory_mb=_figure(header, "rssMb"),
    )
    recycle = _flag(header, "recycle", default=False)
    if _flag(header, "ok"):
        return Result(id=_text(header, "id"), value=payload, usage=usage, recycle=recycle)
    kind = _FAILED_KINDS.get(_text(header, "kind"))
    if kind is None:
        raise FrameError("bad_member", "member kind of the frame is no kind of a failed result")
    if payload:
        raise FrameError("bad_payload", "a failed result has a payload")
    return Result(
        id=_text(header, "id"), kind=kind, fault=_fault(header), usage=usage, recycle=recycle
    )


def _encode_result(frame: Result) -> tuple[dict[str, Any], bytes]:
    header: dict[str, Any] = {"t": "result", "id": frame.id, "ok": frame.fault is None}
    if frame.fault is not None:
        header["kind"] = frame.kind.value
        header["fault"] = _wire_fault(frame.fault)
    header["runMs"] = frame.usage.run_ms
    header["cpuMs"] = frame.usage.cpu_ms
    header["rssMb"] = frame.usage.peak_memory_mb
    if frame.fault is not None or frame.recycle:
        header["recycle"] = frame.recycle
    return header, frame.value


def _decode_exiting(header: Mapping[str, Any], _payload: bytes) -> Exiting:
    code = None if header.get("code") is None else _integer(header, "code")
    return Exiting(id=_optional_text(header, "id"), code=code)


def _encode_exiting(frame: Exiting) -> tuple[dict[str, Any], bytes]:
    return {"t": "exiting", "id": frame.id, "code": frame.code}, b""


Decoder: TypeAlias = Callable[[Mapping[str, Any], bytes], Frame]

WORKER_DECODERS: Mapping[str, Decoder] = {
    "bind": _decode_bind,
    "invoke": _decode_invoke,
    "reply": _decode_reply,
    "grant": _decode_grant,
}
SANDBOX_DECODERS: Mapping[str, Decoder] = {
    "hello": _decode_hello,
    "bound": _decode_bound,
    "log": _decode_log,
    "reserve": _decode_reserve,
    "call": _decode_call,
    "result": _decode_result,
    "exiting": _decode_exiting,
}

_ENCODERS: Mapping[type, Callable[[Any], tuple[dict[str, Any], bytes]]] = {
    Bind: _encode_bind,
    Invoke: _encode_invoke,
    Reply: _encode_reply,
    Grant: _encode_grant,
    Hello: _encode_hello,
    Bound: _encode_bound,
    Log: _encode_log,
    Reserve: _encode_reserve,
    Call: _encode_call,
    Result: _encode_result,
    Exiting: _encode_exiting,
}


def to_wire(frame: Frame) -> tuple[bytes, bytes]:
    """Header text and payload of a frame."""
    header, payload = _ENCODERS[type(frame)](frame)
    return dump_json(header), payload
