"""Reading `Content-Type` fields (RFC 9110, 8.3.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's name for a word

_ESSENCE = re.compile(rf"[ \t]*({TOKEN})/({TOKEN})")
_PARAMETER = re.compile(
    rf'[ \t]*;[ \t]*(?:({TOKEN})[ \t]*=[ \t]*(?:({TOKEN})|"((?:[^"\\]|\\.)*)"))?'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaType:
    """`essence` and `charset` are lower case; of several charsets the first counts."""

    essence: str
    charset: str | None = None

    @property
    def is_text(self) -> bool:
        return self.essence.startswith("text/")


def parse_media_type(field: str) -> MediaType | None:
    """None when `field` is not one media type, for example because it was sent twice."""
    found = _ESSENCE.match(field)
    if found is None:
        return None
    essence = f"{found[1]}/{found[2]}".lower()
    charset: str | None = None
    end = found.end()
    while (parameter := _PARAMETER.match(field, end)) is not None:
        end = parameter.end()
        if charset is None and (parameter[1] or "").lower() == "charset":
            charset = (parameter[2] or parameter[3] or "").lower()
    if field[end:].strip(" \t"):
        return None
    return MediaType(essence=essence, charset=charset)
