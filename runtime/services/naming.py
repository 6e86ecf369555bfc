"""Rules for the texts that owners choose: names and descriptions."""

from __future__ import annotations

import re

from runtime.errors import InvalidParameterError
from runtime.settings import Settings

_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def check_space_name(name: str, settings: Settings) -> None:
    """Raises InvalidParameterError.

    The guide (3.1) rules the length and the first character; text that nobody can see is refused too."""
    shortest, longest = settings.space_name_min, settings.space_name_max
    fits = shortest <= len(name) <= longest and name[:1].isalpha()
    if not fits or not name.isprintable() or name != name.strip():
        raise InvalidParameterError(
            "Name",
            f"a space's name has {shortest} to {longest} visible characters"
            f" and starts with a letter; {name[:64]!r} does not",
        )


def check_function_name(name: str, settings: Settings) -> None:
    """Raises InvalidParameterError (spec: management API §5)."""
    longest = settings.function_name_max
    if len(name) > longest or not _FUNCTION_NAME.fullmatch(name):
        raise InvalidParameterError(
            "Name",
            f"a function's name has 1 to {longest} characters, letters, digits, _ and -,"
            f" and does not start with a digit or -; {name[:64]!r} does not fit",
        )


def check_desc(desc: str, settings: Settings) -> None:
    """Raises InvalidParameterError."""
    if len(desc) > settings.desc_max:
        raise InvalidParameterError(
            "Desc",
            f"a description has at most {settings.desc_max} characters, this one has {len(desc)}",
        )
