"""Addresses of S3-compatible stores as the setting writes them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote

from runtime.settings import SettingsError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PARAMETERS = frozenset({"endpoint", "region", "virtual_host"})


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """`s3://bucket/prefix?endpoint=https://host&region=name&virtual_host=true`; empty = not said."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    virtual_host: bool


def parse_s3_address(parts: SplitResult) -> S3Address:
    """Raises SettingsError, whose text does not repeat what may be a secret."""
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(parameters.keys() - _PARAMETERS)
    if unknown or not _BUCKET.fullmatch(parts.netloc):
        problem = f"unknown parameter {unknown[0]!r}" if unknown else "no valid bucket name"
        raise SettingsError(
            f"YUNHAN_FILES_URL: {problem}; use s3://bucket/prefix with the parameters"
            f" {', '.join(sorted(_PARAMETERS))}, and credentials in AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY"
        )
    return S3Address(
        bucket=parts.netloc,
        prefix=unquote(parts.path).strip("/"),
        endpoint=parameters.get("endpoint", ""),
        region=parameters.get("region", ""),
        virtual_host=parameters.get("virtual_host", "false") == "true",
    )
