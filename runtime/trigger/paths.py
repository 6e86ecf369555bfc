"""Which function a request's path belongs to (spec: functions (c), guide 4.7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from runtime.errors import InvalidParameterError

PATH_PREFIX = "/http"

_CHARACTERS = re.compile(r"[A-Za-z0-9/_.-]*")
_DOT_SEGMENTS = frozenset({".", ".."})
_REFUSED_RAW = re.compile(r"[?#]|%2[Ff]|%(?![0-9A-Fa-f]{2})")
"""Query and fragment are no part of a path; an encoded slash is a slash to some and a letter to others."""
_REFUSED_DECODED = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerMatch:
    """The function that answers a request. `path` is its trigger path, `remainder` what the request
    has below it: `/` for the path itself."""

    function: str
    path: str
    remainder: str


def check_trigger_path(path: str, *, max_characters: int) -> None:
    """Raises InvalidParameterError, which names the first rule that `path` breaks.

    The guide wants `/http` at the start of the text, not as a segment of its own: `/httpfoo` is allowed.
    The empty path means "no trigger" and is not for here. Empty and dot segments are refused beyond the
    guide: no request could reach them.
    """
    segments = path[1:].split("/")
    rules = (
        (path.startswith(PATH_PREFIX), f"starts with {PATH_PREFIX}"),
        (len(path) <= max_characters, f"has at most {max_characters} characters"),
        (
            _CHARACTERS.fullmatch(path) is not None,
            "consists of the characters / - _ . and ASCII letters and digits",
        ),
        (not path.endswith("/"), "does not end with /"),
        ("" not in segments, "has no empty segment (//)"),
        (_DOT_SEGMENTS.isdisjoint(segments), "has no segment . or .."),
    )
    for holds, rule in rules:
        if not holds:
            raise InvalidParameterError(
                "HttpTriggerPath",
                f"the path of an HTTP trigger {rule}; {path[:max_characters]!r} does not",
            )


def normalize_request_path(raw_path: str) -> str | None:
    """The path of a request target (no query), percent-decoded exactly once; None when it is refused.

    Refused is what another reader of the same URL could understand differently: dot segments, slashes
    and backslashes in disguise, control characters, broken escapes, and bytes that are no UTF-8. Empty
    segments stay as they are. The HTTP server bounds the length.
    """
    if not raw_path.startswith("/") or _REFUSED_RAW.search(raw_path):
        return None
    try:
        path = unquote_to_bytes(raw_path).decode()
    except UnicodeError:
        return None
    if _REFUSED_DECODED.search(path) or not _DOT_SEGMENTS.isdisjoint(path.split("/")):
        return None
    return path


def find_trigger(paths: Mapping[str, str], request_path: str) -> TriggerMatch | None:
    """The longest trigger path that equals `request_path` or ends at one of its slashes.

    `paths` gives the function of each trigger path; `request_path` is normalized. Upper and lower case
    differ.
    """
    longest = max(map(len, paths), default=0)  # longer prefixes are not copied
    end = len(request_path)
    while end > 0:
        if end <= longest and (function := paths.get(request_path[:end])) is not None:
            remainder = request_path[end:] or "/"
            return TriggerMatch(function=function, path=request_path[:end], remainder=remainder)
        end = request_path.rfind("/", 0, end)
    return None
