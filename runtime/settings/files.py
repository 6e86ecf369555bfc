"""The file store, the files of spaces in it, and the code packages in it and on a worker."""

from __future__ import annotations

import re
from typing import Self

from pydantic import field_validator, model_validator

from runtime.settings.fields import MIB, SettingGroup, setting

_PUBLIC_HOST = re.compile(
    r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*"
)


class FileSettings(SettingGroup):
    """Files, uploads and unpacked code."""

    files_url: str = setting(
        "file:", "URL", "file store: file: (below the data directory), file:///path or s3://bucket"
    )
    files_secret_file: str = setting(
        "",
        "path",
        "file with the secret key of s3://; empty = AWS_SECRET_ACCESS_KEY; the key's id is AWS_ACCESS_KEY_ID",
    )
    uploads_in_flight_max: int = setting(4, "count", "uploads taken at the same time", ge=1)
    package_zip_max_bytes: int = setting(100 * MIB, "bytes", "uploaded zip", ge=1)
    package_unpacked_max_bytes: int = setting(
        500 * MIB, "bytes", "unpacked code, guide's limit", ge=1
    )
    package_entries_max: int = setting(50_000, "count", "entries of a zip", ge=1)
    package_ratio_max: int = setting(
        200, "ratio", "unpacked to packed size, of archives above 10 MiB unpacked", ge=1
    )
    code_cache_max_bytes: int = setting(
        5 * 1024 * MIB,
        "bytes",
        "unpacked code kept on a worker; the longest unused goes first",
        ge=1,
    )
    file_max_bytes: int = setting(
        100 * MIB, "bytes", "one file of a space, guide's limit", ge=1, le=5 * 1024 * MIB
    )
    files_upload_host: str = setting(
        "",
        "host[:port][/prefix]",
        "where apps upload, https; empty = that of YUNHAN_PUBLIC_URL when it is https, else of the HTTPS"
        " listener, with /oss",
    )
    files_cdn_host: str = setting(
        "",
        "host[:port][/prefix]",
        "where files are read, https, e.g. a CDN's name; empty = YUNHAN_FILES_UPLOAD_HOST",
    )
    file_sign_ttl_s: int = setting(
        600,
        "s",
        "time for an upload after it was signed, and for its report after that",
        ge=10,
        le=86_400,
    )
    file_url_ttl_s: int = setting(
        3600, "s", "how long the address of a private file is good, unless maxAge says", ge=1
    )
    file_url_ttl_max_s: int = setting(
        7 * 86_400, "s", "longest maxAge of such an address; more becomes this", ge=1
    )
    file_uploads_open_max_per_space: int = setting(
        1000, "count", "uploads of a space under way or not yet reported; more are refused", ge=1
    )
    file_uploads_open_max_per_user: int = setting(
        50, "count", "the same that apps begin for one user of a space", ge=1
    )
    file_uploads_reserved_percent: int = setting(
        25,
        "percent",
        "of YUNHAN_FILE_UPLOADS_OPEN_MAX_PER_SPACE: what apps leave to functions, backends and management",
        ge=0,
        le=90,
    )
    file_store_timeout_s: float = setting(
        300.0, "s", "longest way of an upload from this machine into the file store", gt=0
    )
    file_sweep_s: float = setting(
        60.0, "s", "how often uploads without a report and bytes without a file are removed", gt=0
    )
    file_sweep_grace_s: float = setting(
        900.0,
        "s",
        "how long after their time; more than clocks of gateways differ and YUNHAN_FILE_STORE_TIMEOUT_S",
        gt=0,
    )
    file_sweep_batch_max: int = setting(
        500, "count", "uploads, and files, looked at in one step of a sweep", ge=1
    )
    file_page_max: int = setting(100, "count", "files of one page of a list", ge=1, le=1000)

    @field_validator("files_upload_host", "files_cdn_host")
    @classmethod
    def _a_public_host(cls, value: str) -> str:
        host = value.rstrip("/")
        if host and not _PUBLIC_HOST.fullmatch(host):
            raise ValueError(
                "a host without a scheme, maybe with port and path, e.g. files.example.com/oss"
            )
        return host

    @model_validator(mode="after")
    def _sweeps_leave_uploads_their_time(self) -> Self:
        if self.file_sweep_grace_s <= self.file_store_timeout_s:
            raise ValueError(
                f"YUNHAN_FILE_SWEEP_GRACE_S={self.file_sweep_grace_s:g} must be greater than"
                f" YUNHAN_FILE_STORE_TIMEOUT_S={self.file_store_timeout_s:g}: a sweep would else remove what"
                " is still being stored"
            )
        if self.file_url_ttl_s > self.file_url_ttl_max_s:
            raise ValueError(
                f"YUNHAN_FILE_URL_TTL_S={self.file_url_ttl_s} must not be greater than"
                f" YUNHAN_FILE_URL_TTL_MAX_S={self.file_url_ttl_max_s}"
            )
        return self
