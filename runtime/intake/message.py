"""Version 1 of the public message: bytes and properties of AMQP in, a call that was asked for out.

The body is one JSON object:

| field | | |
| --- | --- | --- |
| `version` | 1 | 1 when it is left out |
| `space` | text | required |
| `function` | text | required |
| `args` | any JSON | `{}` when it is left out |
| `idempotencyKey` | text | a repetition within 24 hours is the same job |

Every other field has no effect: who asks is what the broker says, and nothing internal can be set from
outside. A field that is one of these but for its spelling is refused, because a key that nobody reads would
lead to jobs that run twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.intake.refusals import IntakeRefusedError, Reason
from sandbox.json_text import JsonDepthError, JsonError, parse_json, write_json

VERSION = 1
ARGS_DEPTH_MAX = 100
"""Arrays and objects inside each other in `args`."""
NAME_MAX = 128
"""Characters of `space` and `function`; what they may be is said by those who make them."""
ENVELOPE_MAX_BYTES = 8 * 1024
"""What the body may have beside `args`."""

_FIELDS = frozenset({"version", "space", "function", "args", "idempotencyKey"})
_PLAIN = {name.lower(): name for name in _FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeCall:
    """A call that a message asks for. Nothing of it has been looked up."""

    space_id: str
    function: str
    args: bytes = field(repr=False)
    """JSON text."""
    idempotency_key: str | None = None


def read_call(
    body: bytes, *, content_type: str | None, content_encoding: str | None = None
) -> IntakeCall:
    """Raises IntakeRefusedError for everything that is not a message of this version.

    The caller has bounded the length of `body`."""
    _check_content(content_type, content_encoding)
    try:
        value = parse_json(body)
    except JsonDepthError:
        raise _malformed("the body is nested too deeply") from None
    except JsonError as error:
        raise _malformed(f"the body is no JSON text in UTF-8: {error}") from None
    if not isinstance(value, dict):
        raise _malformed("the body is no JSON object")
    version = value.get("version", VERSION)
    if isinstance(version, bool) or version != VERSION:
        raise IntakeRefusedError(
            Reason.VERSION, f"version is {VERSION} here; leave it out or say so"
        )
    _check_spelling(value)
    args = value.get("args", {})
    if not _at_most_deep(args, ARGS_DEPTH_MAX):
        raise _malformed(f"args is nested deeper than {ARGS_DEPTH_MAX} levels")
    return IntakeCall(
        space_id=_name(value, "space"),
        function=_name(value, "function"),
        args=write_json(args),
        idempotency_key=_optional_text(value, "idempotencyKey"),
    )


def _malformed(detail: str) -> IntakeRefusedError:
    return IntakeRefusedError(Reason.MALFORMED, detail)


def _check_content(content_type: str | None, content_encoding: str | None) -> None:
    kind, _, parameters = (content_type or "").lower().partition(";")
    if kind.strip() != "application/json":
        raise IntakeRefusedError(
            Reason.CONTENT_TYPE, "the property content_type is not application/json"
        )
    charset = parameters.replace(" ", "").replace('"', "")
    if charset not in {"", "charset=utf-8"}:
        raise IntakeRefusedError(Reason.CONTENT_TYPE, "application/json is UTF-8 here")
    if (content_encoding or "identity").lower() not in {"identity", "utf-8"}:
        raise IntakeRefusedError(Reason.CONTENT_TYPE, "the body is encoded (content_encoding)")


def _check_spelling(value: Mapping[str, Any]) -> None:
    for name in value:
        meant = _PLAIN.get(name.lower().replace("_", "").replace("-", ""))
        if meant is not None and name != meant:
            raise _malformed(f"there is no field {name}; did you mean {meant}?")


def _name(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= NAME_MAX or not text.isprintable():
        raise _malformed(f"{name} is a text of 1 to {NAME_MAX} printable characters")
    return text


def _optional_text(value: Mapping[str, Any], name: str) -> str | None:
    text = value.get(name)
    if text is not None and (not isinstance(text, str) or not text):
        raise _malformed(f"{name} is a text that is not empty, or is left out")
    return text


def _at_most_deep(value: Any, levels: int) -> bool:
    """Without recursion: the value is a stranger's."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return not layer
