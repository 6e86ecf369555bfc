"""How many files may come and go at once, for whom, and how slowly."""

from __future__ import annotations

from runtime.settings.fields import KIB, SettingGroup, setting


class FileHttpSettings(SettingGroup):
    """Of one program. What is over a bound is refused at once, with 503.

    Identities of app users are free, and whoever has one can sign uploads: that is why users are also counted
    by space and by address, and why they never get all the room.

    The lowest rate lets a phone on a 2G network pass (EDGE sends 8 to 12 KiB/s, a poor one half of that), and
    the time on top bridges tunnels and changes of cells. Much slower, a photo would not come within
    YUNHAN_FILE_SIGN_TTL_S anyway.
    """

    file_uploads_max: int = setting(
        64, "count", "files that one program takes in at the same time; more are refused", ge=1
    )
    file_uploads_max_per_space: int = setting(
        32, "count", "the same of one space, so that no space takes the others' room", ge=1
    )
    file_uploads_max_per_user: int = setting(8, "count", "the same of one app user", ge=1)
    file_uploads_max_per_client: int = setting(
        16,
        "count",
        "the same of app users at one address (IPv6: one /64); 0 = no bound. Name proxies before us in"
        " YUNHAN_TRUSTED_PROXIES: else everybody has theirs",
        ge=0,
    )
    file_uploads_max_reserved_percent: int = setting(
        25,
        "percent",
        "of the uploads of a space and of a program: what app users leave to functions, backends and CLI",
        ge=0,
        le=90,
    )
    file_upload_free_s: float = setting(
        30.0,
        "s",
        "an upload may keep us waiting so long, and as much longer as its bytes need at"
        " YUNHAN_FILE_UPLOAD_MIN_BYTES_PER_S; then it is refused",
        gt=0,
    )
    file_upload_min_bytes_per_s: int = setting(
        4 * KIB, "1/s", "lowest rate of an upload, see YUNHAN_FILE_UPLOAD_FREE_S", ge=1
    )
    file_downloads_max: int = setting(
        512, "count", "files that one program sends at the same time; more are refused", ge=1
    )
    file_downloads_max_per_client: int = setting(
        64,
        "count",
        "the same to one address (IPv6: one /64); 0 = no bound. Name proxies and CDNs before us in"
        " YUNHAN_TRUSTED_PROXIES: else everybody has theirs",
        ge=0,
    )
