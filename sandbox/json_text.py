"""JSON text of JavaScript origin: checked, read and written without surprises.

orjson is strict and fast, but refuses escaped lone surrogates, which are legal in JSON text and
which JavaScript's ``JSON.stringify`` writes. Only such text takes the slow way here.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import orjson


class JsonError(ValueError):
    """Not JSON text in UTF-8."""


class JsonDepthError(JsonError):
    """Valid as far as it was read, but nested deeper than any reader here goes (1024 levels)."""


def check_json(text: bytes) -> None:
    """Raises JsonError when `text` is not one JSON value. Lone surrogates are let through."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _load_slowly(text, error)


def parse_json(text: bytes | str) -> Any:
    """The value of JSON text as it is: lone surrogates stay in its strings. Raises JsonError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _load_slowly(text if isinstance(text, bytes) else _encode(text), error)


def write_json(value: Any) -> bytes:
    """JSON text of a value, compact; a lone surrogate is written as its escape. Raises TypeError."""
    try:
        return orjson.dumps(value)
    except TypeError:  # also for integers beyond 64 bits
        return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def load_json(text: bytes | memoryview) -> Any:
    """The value of JSON text; a lone surrogate becomes ``?``. Raises JsonError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        value = _load_slowly(bytes(text), error)
    try:
        return orjson.loads(_dump_slowly(value))
    except orjson.JSONDecodeError:  # the slow reader goes deeper than orjson
        raise JsonDepthError("nested too deeply") from None


def dump_json(value: Any) -> bytes:
    """JSON text of a value, compact; a lone surrogate becomes ``?``. Raises TypeError."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return _dump_slowly(value)


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise JsonError(f"a lone surrogate that is not escaped: {error.reason}") from None


def _load_slowly(text: bytes, error: orjson.JSONDecodeError) -> Any:
    if "depth limit" in str(error):
        raise JsonDepthError("nested too deeply") from error
    try:
        # Decoded here: given bytes, json.loads would also accept UTF-16 and UTF-32.
        return json.loads(
            text.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite
        )
    except RecursionError:
        raise JsonDepthError("nested too deeply") from None
    except ValueError:
        raise JsonError(str(error)) from None


def _dump_slowly(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is out of range")
    return number
