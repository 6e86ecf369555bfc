"""Signed addresses of files."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from runtime.files.refusals import SignatureRefusedError
from runtime.files.signed_urls import UrlSigner, is_signed

URLS = UrlSigner(b"k" * 32)
NOW_S = 1_700_000_000
NOW_MS = NOW_S * 1000
SPACE = "mp-1"
PATH = "相册/a&b=c.png"


def get_query(path: str = PATH) -> dict[str, str]:
    return dict(parse_qsl(URLS.get_query(SPACE, path, expires_s=NOW_S + 60)))


def put_query(content_type: str = "image/png") -> dict[str, str]:
    return dict(
        parse_qsl(
            URLS.put_query(
                SPACE, PATH, content_type=content_type, upload_id="0f", expires_s=NOW_S + 60
            )
        )
    )


def test_an_address_opens_its_path_until_it_expires() -> None:
    URLS.open_get(SPACE, PATH, get_query(), now_ms=NOW_MS + 59_999)
    with pytest.raises(SignatureRefusedError, match="expired"):
        URLS.open_get(SPACE, PATH, get_query(), now_ms=NOW_MS + 60_000)


@pytest.mark.parametrize(
    ("space", "path", "changed"),
    [
        ("mp-2", PATH, {}),
        (SPACE, "other.png", {}),
        (SPACE, PATH, {"Expires": str(NOW_S + 61)}),
        (SPACE, PATH, {"Expires": "9" * 16}),
        (SPACE, PATH, {"Expires": "-1"}),
        (SPACE, PATH, {"Expires": "١٢"}),
        (SPACE, PATH, {"Expires": ""}),
        (SPACE, PATH, {"Signature": ""}),
        (SPACE, PATH, {"Signature": "\udcff"}),
        (SPACE, PATH, {"Signature": "0" * 64}),
    ],
)
def test_it_opens_nothing_else(space: str, path: str, changed: dict[str, str]) -> None:
    with pytest.raises(SignatureRefusedError) as caught:
        URLS.open_get(space, path, get_query() | changed, now_ms=NOW_MS)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_parts_cannot_be_moved_into_each_other() -> None:
    query = dict(parse_qsl(URLS.get_query("mp-1", "a/b", expires_s=NOW_S + 60)))
    with pytest.raises(SignatureRefusedError):
        URLS.open_get("mp-1/a", "b", query, now_ms=NOW_MS)


def test_a_put_has_its_upload_and_type() -> None:
    signed = URLS.open_put(SPACE, PATH, put_query(), "image/png", now_ms=NOW_MS)
    assert (signed.upload_id, signed.expires_ms) == ("0f", NOW_MS + 60_000)
    with pytest.raises(SignatureRefusedError):
        URLS.open_put(SPACE, PATH, put_query(), "text/html", now_ms=NOW_MS)
    with pytest.raises(SignatureRefusedError):
        URLS.open_put(SPACE, PATH, put_query() | {"UploadId": "1f"}, "image/png", now_ms=NOW_MS)
    with pytest.raises(SignatureRefusedError, match="expired"):
        URLS.open_put(SPACE, PATH, put_query(), "image/png", now_ms=NOW_MS + 60_000)


def test_a_get_address_puts_nothing_and_the_other_way_round() -> None:
    with pytest.raises(SignatureRefusedError):
        URLS.open_put(SPACE, PATH, get_query(), "", now_ms=NOW_MS)
    with pytest.raises(SignatureRefusedError):
        URLS.open_get(SPACE, PATH, put_query(), now_ms=NOW_MS)


def test_the_key_is_not_shown() -> None:
    assert "k" * 4 not in repr(URLS)
    assert is_signed(get_query())
    assert not is_signed({})
