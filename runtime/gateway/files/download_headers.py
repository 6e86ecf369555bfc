"""Header fields of a download: what the uploader wanted, and what protects those who read it.

Files of all spaces come from the host that management and console have, too. A page that a stranger uploaded
must not act there in a visitor's name, so whatever is not known to be inert is answered with
`Content-Security-Policy: sandbox`: it may be shown, in an origin of its own and without scripts. As an
attachment it would be safe as well, but no link to an uploaded page would open it, and the uploader's own
`Content-Disposition` would be lost. Exempt are pictures, sound, films and PDF, whose viewers the sandbox
would stop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from runtime.gateway.files.conditions import Validators
from runtime.gateway.files.receive import etag_of
from runtime.messages import Blob

_INERT = re.compile(
    r"((image|audio|video)/[a-z0-9.-]+|application/pdf)"
    r"([ \t]*;[ \t]*charset=[a-z0-9-]+)?",
    re.IGNORECASE,
)
"""The whole value: of several types in one field browsers take the last. Without `+`: whatever ends in `+xml`
is a document to browsers, with scripts, SVG like all others."""

_NOT_MODIFIED = ("ETag", "Last-Modified", "Cache-Control", "Expires", "Vary")
"""What a 304 repeats (RFC 9110, 15.4.5)."""


def validators_of(blob: Blob, modified_ms: int) -> Validators:
    """Of the version that a file has now."""
    return Validators(etag=etag_of(blob), modified_s=modified_ms // 1000)


def download_headers(blob: Blob, now: Validators, *, private: bool) -> dict[str, str]:
    """All fields but those of the range. Private files are kept by no shared cache, whatever their uploader
    said, and a browser asks again before it shows what it kept."""
    headers = {name.title(): value for name, value in blob.headers.items()}
    headers |= {f"x-meta-{name}": value for name, value in blob.meta.items()}
    if private:
        headers.pop("Expires", None)
        headers["Cache-Control"] = "private, no-cache"
    headers |= {
        "Content-Type": blob.content_type,
        "ETag": now.etag,
        "Last-Modified": now.last_modified,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    if _INERT.fullmatch(blob.content_type) is None:
        headers["Content-Security-Policy"] = "sandbox"
    return headers


def not_modified_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of `download_headers` that belong into a 304."""
    return {name: headers[name] for name in _NOT_MODIFIED if name in headers}
