"""The file store, and the code packages in it and on a worker."""

from __future__ import annotations

from runtime.settings.fields import MIB, SettingGroup, setting


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
