"""JSON from outside: orjson first, the standard library where JavaScript is laxer than orjson.

JavaScript writes strings cut in the middle of an emoji (lone surrogates) and numbers beyond double range;
orjson refuses both. They are rare and legal for our callers, so they take the slower way.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


def parse_json(text: bytes | str) -> Any:
    """The value. Raises ValueError for what is no JSON, RecursionError never."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text, parse_constant=_refuse)
        except RecursionError:
            raise ValueError("the JSON text is nested too deeply") from None


def write_json(value: Any) -> bytes:
    """JSON text in UTF-8."""
    try:
        return orjson.dumps(value)
    except TypeError:  # lone surrogates, or integers beyond 64 bits
        return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
