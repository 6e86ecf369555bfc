"""JSON values <-> BSON values (spec: database commands §2)."""

from __future__ import annotations

import base64
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any, Final

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from runtime.documents.errors import BAD_VALUE, OVERFLOW, DatabaseError

CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ERA_YEARS: Final = 400
"""The calendar repeats after so many: this is how years are told that `datetime` does not have."""
_ERA_MS: Final = 146_097 * 86_400_000
_INT64: Final = range(-(2**63), 2**63)
_DEPTH_MAX: Final = 200
_LEFT_AS_TEXT: Final = frozenset({"$regex", "$options"})


def bson_value(value: Any) -> Any:
    """Of a value anywhere: dates become dates, numbers beyond 64 bits become doubles.

    Raises DatabaseError for a number that even a double cannot hold, and for half a character."""
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value)
        return (len(value) == 24 and value[-1] == "Z" and _date_of(value)) or value
    if isinstance(value, Mapping):
        return {
            key: each if key in _LEFT_AS_TEXT and isinstance(each, str) else bson_value(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [bson_value(each) for each in value]
    if isinstance(value, int) and value not in _INT64:
        try:
            return float(value)
        except OverflowError:
            raise DatabaseError(BAD_VALUE, "a number is too large") from None
    return value


def _check_text(text: str) -> None:
    """Before anything is sent: in the middle of many documents it would leave some of them written."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DatabaseError(BAD_VALUE, "a text holds half a character (a lone surrogate)") from None


def bson_id(value: Any) -> Any:
    """Of an `_id`: a text of 24 hex digits is an ObjectId, anything else as anywhere."""
    if isinstance(value, str) and len(value) == 24 and _ID.fullmatch(value):
        return ObjectId(value)
    return bson_value(value)


def bson_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Of a document that is stored. Its own `_id` is an id; `_id` of documents inside it are values."""
    return {
        key: bson_id(each) if key == "_id" else bson_value(each) for key, each in document.items()
    }


def bson_size(value: Any) -> int:
    """Bytes of a document, or of another value as the only field of one. 0 for what cannot be encoded: the
    driver says why."""
    document = value if isinstance(value, Mapping) else {"": value}
    try:
        return len(bson.encode(document, codec_options=CODEC))
    except (BSONError, UnicodeEncodeError, OverflowError):
        return 0


def json_value(value: Any, depth: int = 0) -> Any:
    """Of what the server answered. What JSON has no type for becomes a text, or null.

    Raises DatabaseError for what is nested so deeply that no SDK would read it: stages of a pipeline can nest
    deeper than any of them."""
    if value is None or type(value) in (str, int, bool):
        return value
    if depth > _DEPTH_MAX:
        raise DatabaseError(OVERFLOW, f"the answer is nested deeper than {_DEPTH_MAX}")
    if isinstance(value, dict):
        return {key: json_value(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [json_value(each, depth + 1) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)  # Int64
    return _json_of_other(value)


def _json_of_other(value: Any) -> Any:
    for kinds, shown in _SHOWN:
        if isinstance(value, kinds):
            return shown(value)
    return type(value).__name__  # MinKey, MaxKey


def _date_of(text: str) -> datetime | DatetimeMS | None:
    """None for what only looks like a date."""
    if not _DATE.fullmatch(text):
        return None
    year_0 = text.startswith("0000")
    try:
        date = datetime.fromisoformat(("0400" + text[4:-1] if year_0 else text[:-1]) + "+00:00")
    except ValueError:
        return None
    if not year_0:
        return date
    return DatetimeMS((date - _EPOCH) // timedelta(milliseconds=1) - _ERA_MS)


def _iso_of_far(ms: int) -> str:
    """A date outside of the years 1 to 9999, as JavaScript writes it."""
    eras, rest = divmod(ms, _ERA_MS)
    near = _EPOCH + timedelta(milliseconds=rest)
    year = near.year + eras * _ERA_YEARS
    shown = f"{year:04d}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):06d}"
    return shown + near.isoformat(timespec="milliseconds")[4:-6] + "Z"


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _text_of_regex(value: Regex[str]) -> str:
    letters = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}
    flags = "".join(letter for flag, letter in letters.items() if value.flags & flag)
    return f"/{value.pattern}/{flags}"


_SHOWN: Final[Sequence[tuple[type | UnionType, Callable[[Any], Any]]]] = (
    (datetime, _iso),
    (DatetimeMS, lambda value: _iso_of_far(int(value))),
    (ObjectId | Decimal128 | uuid.UUID | str, str),  # a str is a Code
    (bytes, lambda value: base64.b64encode(value).decode()),  # also Binary
    (Regex, _text_of_regex),
    (Timestamp, lambda value: {"t": value.time, "i": value.inc}),
    (DBRef, lambda value: json_value(dict(value.as_doc()))),
)
