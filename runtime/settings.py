"""Every setting, in one place: name, unit, default, reason.

Each field is the environment variable `YUNHAN_<FIELD NAME IN CAPITALS>`. A variable that starts with
`YUNHAN_` but is no setting is refused with the nearest name, because a misspelt limit that is silently
ignored is worse than a program that does not start. `yunhan config show` prints them all.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sandbox.api import Limits

PREFIX = "YUNHAN_"
KIB = 1024
MIB = 1024 * 1024

RESERVED = frozenset(
    {
        "https",
        "trigger_domain",
        "docker_runtime",
        "redis_url",
        "egress_allow",
    }
)
"""Names that the design fixes but this version does not use: accepted, reported by `reserved_in`."""


def _setting(default: Any, unit: str, text: str) -> Any:
    """One setting: default, unit (for people) and meaning."""
    return Field(default=default, description=text, json_schema_extra={"unit": unit})


class Settings(BaseSettings):
    """The whole configuration of one program. Frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands over: it has looked at every variable's name."""
        return (init_settings,)

    # where things are
    env: Literal["development", "production"] = _setting(
        "development",
        "name",
        "production refuses generated master keys and the process rung",
    )
    data_dir: Path = _setting(
        Path(".yunhan"), "path", "everything that this program keeps on this machine"
    )
    http: str = _setting("127.0.0.1:8700", "host:port", "address of the gateway's HTTP listener")
    public_url: str = _setting(
        "", "URL", "endpoint that clients reach, behind a proxy; empty = the HTTP listener"
    )
    documents_url: str = _setting(
        "embedded:", "URL", "document database: embedded: or mongodb://..."
    )
    documents_timeout_s: float = _setting(
        5.0, "s", "longest wait for a server or an answer of the document database"
    )
    files_url: str = _setting(
        "file:", "URL", "file store: file: (below the data directory), file:///path or s3://bucket"
    )
    queue_url: str = _setting("memory:", "URL", "queue: memory:")
    sandbox: Literal["auto", "process", "landlock", "bubblewrap", "docker"] = _setting(
        "auto", "name", "rung of isolation; auto = the strongest that is here"
    )
    node_paths: str = _setting(
        "", "major=path,...", "further Node.js executables, e.g. 20=/usr/bin/node"
    )

    # keys
    master_key_file: Path | None = _setting(
        None, "path", "32 random bytes, base64; seals every stored secret; required in production"
    )
    access_key_id: str = _setting(
        "", "text", "first management key; empty = generated in the data directory"
    )
    access_key_secret: SecretStr = _setting(
        SecretStr(""), "secret", "secret of the first management key"
    )
    token_ttl_s: int = _setting(600, "s", "life of an access token, as the original's")
    token_key_rotate_s: float = _setting(
        86_400.0, "s", "age at which a new key begins to sign tokens; the last two are accepted"
    )
    client_clock_skew_s: int = _setting(
        86_400, "s", "accepted difference to a client's clock; phones are often wrong; 0 = any"
    )
    management_clock_skew_s: int = _setting(
        900, "s", "accepted age of a management request; a nonce counts once in this time"
    )
    management_nonces_max: int = _setting(
        100_000, "count", "remembered nonces; beyond it management requests are refused"
    )
    upload_url_ttl_s: int = _setting(3600, "s", "life of a signed upload or download address")

    # limits of the product guide and of the wire protocols
    space_name_min: int = _setting(3, "characters", "shortest name of a space")
    space_name_max: int = _setting(15, "characters", "longest name of a space")
    function_name_max: int = _setting(30, "characters", "longest name of a function")
    desc_max: int = _setting(128, "characters", "longest description")
    functions_per_space_max: int = _setting(300, "count", "functions in one space")
    spaces_max: int = _setting(10_000, "count", "spaces in one installation")
    args_max_bytes: int = _setting(1 * MIB, "bytes", "arguments of one call")
    result_max_bytes: int = _setting(6 * MIB, "bytes", "result of one call")
    body_timeout_s: float = _setting(
        30.0, "s", "longest wait for the body of a request; uploads: for the next part of it"
    )
    body_max_bytes: int = _setting(
        3 * MIB, "bytes", "HTTP body of /client; arguments in it are escaped twice"
    )
    management_body_max_bytes: int = _setting(8 * MIB, "bytes", "HTTP body of a management request")
    timeout_sync_max_s: int = _setting(
        900, "s", "longest run of a synchronous call, whatever its function asks for"
    )
    run_function_max_s: int = _setting(60, "s", "longest run by RunFunction, as the original's")
    call_depth_max: int = _setting(
        8, "count", "how deep functions may call functions; deeper is refused"
    )

    # code packages
    package_zip_max_bytes: int = _setting(100 * MIB, "bytes", "uploaded zip")
    package_unpacked_max_bytes: int = _setting(500 * MIB, "bytes", "unpacked code, guide's limit")
    package_entries_max: int = _setting(50_000, "count", "entries of a zip")
    package_ratio_max: int = _setting(
        200, "ratio", "unpacked to packed size, of archives above 10 MiB unpacked"
    )
    uploads_in_flight_max: int = _setting(4, "count", "uploads taken at the same time")
    code_cache_max_bytes: int = _setting(
        5 * 1024 * MIB, "bytes", "unpacked code kept on a worker; the longest unused goes first"
    )

    # queue, slots, sandboxes
    slots: int = _setting(16, "count", "invocations that run at the same time on one worker")
    queue_max_jobs: int = _setting(1000, "count", "synchronous jobs that wait; more are refused")
    queue_wait_s: float = _setting(
        30.0, "s", "longest wait of a synchronous job; then it is expired and never run"
    )
    sandboxes_max: int = _setting(
        64, "count", "live sandboxes on one worker, idle ones included; must exceed slots"
    )
    sandboxes_prewarmed: int = _setting(
        1, "count", "sandboxes kept ready without code for first calls"
    )
    sandbox_prewarm_memory_mb: int = _setting(
        256, "MB", "memory class of prewarmed sandboxes; a new function's default"
    )
    sandbox_idle_s: float = _setting(900.0, "s", "an idle sandbox is stopped after this time")
    sandbox_start_timeout_s: float = _setting(10.0, "s", "longest start of a sandbox")
    sandbox_load_timeout_s: float = _setting(10.0, "s", "longest load of a function's modules")
    sandbox_stop_grace_s: float = _setting(2.0, "s", "longest wait for a killed process to be gone")
    calls_in_flight_max: int = _setting(
        100, "count", "service calls (ctx.mpserverless) under way in one sandbox"
    )
    call_max_bytes: int = _setting(16 * MIB, "bytes", "one service call or its answer")

    # control plane cache
    control_max_age_s: float = _setting(
        5.0, "s", "oldest view of spaces and functions that a call may use"
    )
    control_poll_s: float = _setting(2.0, "s", "how often cached spaces are compared")
    control_cache_spaces: int = _setting(1000, "count", "spaces kept in memory")

    # logs and records
    log_line_max_bytes: int = _setting(32 * KIB, "bytes", "one log line; longer ones are cut")
    log_lines_max: int = _setting(1000, "count", "log lines of one invocation")
    log_max_bytes: int = _setting(256 * KIB, "bytes", "log text of one invocation")
    record_keep_days: float = _setting(7.0, "days", "age at which records are deleted")
    record_keep_per_space: int = _setting(100_000, "count", "records kept for one space")
    record_buffer_max: int = _setting(
        10_000, "count", "records waiting to be written; beyond it they are dropped and counted"
    )
    record_buffer_max_bytes: int = _setting(
        64 * MIB, "bytes", "log text waiting to be written; likewise"
    )
    record_batch_max: int = _setting(200, "count", "records written in one batch")
    record_flush_s: float = _setting(0.2, "s", "longest wait of a record before it is written")
    record_prune_s: float = _setting(600.0, "s", "how often old records are deleted")
    log_format: Literal["auto", "json", "text"] = _setting(
        "auto", "name", "program log on stdout; auto = text on a terminal, else JSON"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "name", "lowest level of the program log"
    )
    log_function_lines: bool = _setting(
        True,  # noqa: FBT003 - a default like the others
        "boolean",
        "also ship functions' log lines to the program log",
    )

    # start and stop
    drain_grace_s: float = _setting(30.0, "s", "longest wait for running calls at shutdown")
    shutdown_flush_s: float = _setting(5.0, "s", "longest wait for records at shutdown")

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.sandboxes_max <= self.slots:
            raise ValueError(
                f"YUNHAN_SANDBOXES_MAX={self.sandboxes_max} must be greater than"
                f" YUNHAN_SLOTS={self.slots}: every slot needs a sandbox"
            )
        if self.control_poll_s >= self.control_max_age_s:
            raise ValueError("YUNHAN_CONTROL_POLL_S must be smaller than YUNHAN_CONTROL_MAX_AGE_S")
        return self

    @property
    def production(self) -> bool:
        return self.env == "production"

    def sandbox_limits(self) -> Limits:
        """The bounds that every sandbox is started with."""
        return Limits(
            result_max_bytes=self.result_max_bytes,
            call_max_bytes=self.call_max_bytes,
            calls_in_flight_max=self.calls_in_flight_max,
            log_line_max_bytes=self.log_line_max_bytes,
            log_lines_max=self.log_lines_max,
            log_max_bytes=self.log_max_bytes,
            load_timeout_s=self.sandbox_load_timeout_s,
            start_timeout_s=self.sandbox_start_timeout_s,
            stop_grace_s=self.sandbox_stop_grace_s,
        )


class SettingsError(Exception):
    """The environment does not make a valid configuration; the text says which variable and why."""


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment. Raises SettingsError for an unknown or bad variable."""
    environ = os.environ if environ is None else environ
    given: dict[str, str] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in RESERVED:
            continue
        if name not in Settings.model_fields:
            near = difflib.get_close_matches(name, Settings.model_fields, n=1)
            hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
            raise SettingsError(
                f"{variable} is no setting{hint} (yunhan config show lists them all)"
            )
        given[name] = environ[variable]
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        lines = [
            f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}"
            if e["loc"]
            else e["msg"].removeprefix("Value error, ")
            for e in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("\n".join(lines)) from None


def reserved_in(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables of the environment that have no effect in this version."""
    environ = os.environ if environ is None else environ
    return sorted(PREFIX + n.upper() for n in RESERVED if PREFIX + n.upper() in environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One line of `yunhan config show`. A secret's value is masked."""

    variable: str
    value: str
    source: Literal["default", "environment"]
    unit: str
    text: str


_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
"""`user:password@` of a URL, as in mongodb://user:password@host."""


def describe(settings: Settings, environ: Mapping[str, str] | None = None) -> Iterator[SettingRow]:
    """Every setting with its value, source, unit and meaning, in the order of declaration.

    Secrets are masked, also those inside URLs."""
    environ = os.environ if environ is None else environ
    for name, info in Settings.model_fields.items():
        variable = PREFIX + name.upper()
        yield SettingRow(
            variable=variable,
            value=_URL_CREDENTIALS.sub("***@", str(getattr(settings, name))),
            source="environment" if variable in environ else "default",
            unit=unit_of(info),
            text=info.description or "",
        )


def unit_of(info: FieldInfo) -> str:
    """The unit of a setting, for people."""
    extra = info.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) and "unit" in extra else ""
