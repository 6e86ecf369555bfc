"""The members of a JSON object with the exact text of each value: what a signature is made over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_DECODER = json.JSONDecoder()
_WHITE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class RawMember:
    """A value, and the characters that it was read from."""

    text: str = field(repr=False)
    value: Any = field(repr=False)


def raw_members(text: str) -> Mapping[str, RawMember]:
    """Raises ValueError for anything but one JSON object in which each name stands once: two readers could
    take different values, and the signature is over one of them."""
    place = _skip(text, 0, "{")
    members: dict[str, RawMember] = {}
    while not (text[place : place + 1] == "}" and not members):
        name, place = _read(text, place)
        if not isinstance(name, str) or name in members:
            raise ValueError("a name that is no text or stands twice")
        start = _skip(text, place, ":")
        value, end = _read(text, start)
        members[name] = RawMember(text[start:end], value)
        place = _past_white(text, end)
        if text[place : place + 1] != ",":
            break
        place = _past_white(text, place + 1)
    if _skip(text, place, "}") != len(text):
        raise ValueError("more than one value")
    return members


def _read(text: str, place: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _skip(text: str, place: int, wanted: str) -> int:
    """Past `wanted` and the white space around it."""
    place = _past_white(text, place)
    if text[place : place + 1] != wanted:
        raise ValueError(f"no {wanted} where one has to be")
    return _past_white(text, place + 1)


def _past_white(text: str, place: int) -> int:
    while text[place : place + 1] and text[place] in _WHITE:
        place += 1
    return place
