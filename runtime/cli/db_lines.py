"""Lines of other programs as documents to load: each gets an id, plain values get their types. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import Any, NoReturn

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
_DEPTH_MAX = 200


class LineError(ValueError):
    """The text of a line is no document. The message says why."""


def document_line(line: bytes, number: int, *, plain: bool) -> bytes:
    """One document with an `_id` and a line end.

    A document without `_id` gets one that follows from its text and its place in the file (`number`), so
    that an import that is repeated replaces it. `plain`: values as the SDKs show them, so that ids of 24
    hexadecimal digits are object ids and times like 2026-11-21T08:00:00.000Z are dates.
    Raises LineError."""
    try:
        document = json.loads(
            line.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=_refuse
        )
    except UnicodeDecodeError:
        raise LineError("is no text in UTF-8") from None
    except RecursionError:
        raise LineError("is nested too deeply") from None
    except ValueError as error:
        hint = ""
        if line.lstrip()[:1] == b"[":
            hint = "; of an array `jq -c '.[]'` makes lines"
        raise LineError(f"is no JSON: {error}{hint}") from None
    if not isinstance(document, dict):
        hint = "; of an array `jq -c '.[]'` makes lines" if isinstance(document, list) else ""
        raise LineError(f"is no JSON object{hint}")
    if plain:
        document = _typed(document)
        if isinstance(document.get("_id"), str) and _OBJECT_ID.fullmatch(document["_id"]):
            document["_id"] = {"$oid": document["_id"].lower()}
    if "_id" not in document:
        document = {"_id": {"$oid": _made_id(line, number)}, **document}
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _made_id(line: bytes, number: int) -> str:
    return hashlib.sha256(b"%d:%s" % (number, line.strip())).hexdigest()[:24]


def _typed(value: Any, depth: int = 0) -> Any:
    if depth > _DEPTH_MAX:
        raise LineError("is nested too deeply")
    if isinstance(value, dict):
        return {name: _typed(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_typed(each, depth + 1) for each in value]
    if isinstance(value, str) and _TIME.fullmatch(value):
        return _date(value)
    return value


def _date(text: str) -> Any:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # the 31st of February is a text
        return text
    milliseconds = round(moment.timestamp() * 1000)
    return {"$date": {"$numberLong": str(milliseconds)}}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
