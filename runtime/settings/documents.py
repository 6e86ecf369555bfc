"""The document database, and what is kept in memory of the control plane in it."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import SettingGroup, setting


class DocumentSettings(SettingGroup):
    """Documents and the control plane's cache."""

    documents_url: str = setting(
        "embedded:", "URL", "document database: embedded: or mongodb://..."
    )
    documents_password_file: str = setting(
        "", "path", "file with the password for YUNHAN_DOCUMENTS_URL; empty = it stands in the URL"
    )
    documents_timeout_s: float = setting(
        5.0, "s", "longest wait for a server or an answer of the document database", gt=0
    )
    documents_embedded_deaf_s: float = setting(
        5.0,
        "s",
        "the embedded server is restarted when it takes no connection for so long, as in a regular"
        " expression without end",
        ge=1,
    )
    documents_embedded_stuck_s: float = setting(
        60.0,
        "s",
        "the embedded server is restarted when it answers no command for so long, as during the making of"
        " a large index, or when a command runs on for so long after its caller has hung up",
        ge=5,
    )
    documents_embedded_memory_max_bytes: int = setting(
        3 * 1024**3,
        "bytes",
        "memory of each of the two embedded servers; a command that needs more fails or ends the server"
        " (Linux only)",
        ge=512 * 1024**2,
    )
    control_max_age_s: float = setting(
        5.0, "s", "oldest view of spaces and functions that a call may use", gt=0
    )
    control_poll_s: float = setting(
        2.0,
        "s",
        "how often cached spaces are compared, and domains and the presence of workers read",
        gt=0,
    )
    control_cache_spaces: int = setting(1000, "count", "spaces kept in memory", ge=1)

    @model_validator(mode="after")
    def _views_are_compared_in_time(self) -> Self:
        if self.control_poll_s >= self.control_max_age_s:
            raise ValueError(
                f"YUNHAN_CONTROL_POLL_S={self.control_poll_s} must be smaller than"
                f" YUNHAN_CONTROL_MAX_AGE_S={self.control_max_age_s}"
            )
        return self
