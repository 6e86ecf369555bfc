"""What kind of program this is, where it keeps its things, how it stops and logs about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from runtime.settings.fields import SettingGroup, not_empty, setting


class ProgramSettings(SettingGroup):
    """The program itself."""

    env: Literal["development", "production"] = setting(
        "development",
        "name",
        "production refuses generated master keys and the process rung",
    )
    data_dir: Path = setting(
        Path(".yunhan"), "path", "everything that this program keeps on this machine"
    )
    log_format: Literal["auto", "json", "text"] = setting(
        "auto", "name", "program log on stdout; auto = text on a terminal, else JSON"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "name", "lowest level of the program log"
    )
    log_function_lines: bool = setting(
        True,  # noqa: FBT003 - a default like the others
        "boolean",
        "also ship functions' log lines to the program log",
    )
    drain_grace_s: float = setting(30.0, "s", "longest wait for running calls at shutdown", ge=0)
    drain_notice_s: float = setting(
        0.0,
        "s",
        "how long a stopping program still takes calls while /readyz says 503, for load balancers",
        ge=0,
    )
    shutdown_flush_s: float = setting(5.0, "s", "longest wait for records at shutdown", ge=0)

    @field_validator("data_dir", mode="before")
    @classmethod
    def _a_path(cls, value: Any) -> Any:
        return not_empty(value)

    @property
    def production(self) -> bool:
        return self.env == "production"
