from __future__ import annotations

import pytest

from runtime.trigger.media_types import MediaType, parse_media_type


@pytest.mark.parametrize(
    ("field", "essence", "charset"),
    [
        ("text/xml", "text/xml", None),
        (" Text/XML ; Charset=GBK ", "text/xml", "gbk"),
        ('text/plain;charset="utf-8"', "text/plain", "utf-8"),
        ("text/plain; a=b; charset=x; charset=y", "text/plain", "x"),
        ("text/plain;", "text/plain", None),
        ("text/plain; ;charset = utf-8", "text/plain", "utf-8"),
        ('text/plain; q="; charset=evil"; charset=utf-8', "text/plain", "utf-8"),
        ('text/plain; charset=""', "text/plain", ""),
        ("application/vnd.a+json", "application/vnd.a+json", None),
    ],
)
def test_one_media_type(field: str, essence: str, charset: str | None) -> None:
    assert parse_media_type(field) == MediaType(essence=essence, charset=charset)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "text",
        "text/",
        "/plain",
        "text /plain",
        "text/plain, text/plain",
        "text/plain; charset=utf-8, text/xml",
        "text/plain charset=utf-8",
        "text/plain; charset",
        "text/plain; charset=",
        'text/plain; charset="utf-8',
        "text/中",
        "text/plain\n",
    ],
)
def test_what_is_no_media_type(field: str) -> None:
    assert parse_media_type(field) is None
