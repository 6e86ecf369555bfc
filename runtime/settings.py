"""Every setting, in one place: name, unit, default, reason.

Each field is the environment variable `YUNHAN_<FIELD NAME IN CAPITALS>`. A variable that starts with
`YUNHAN_` but is no setting is refused with the nearest name, because a misspelt limit that is silently
ignored is worse than a program that does not start. `yunhan config show` prints them all.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from runtime.setting_fields import (
    HOST_NAME,
    SHOWN_MAX,
    allowed,
    ascii_host,
    own_words,
    setting,
    split_address,
    unit_of,
    without_credentials,
)
from sandbox.api import Limits

PREFIX = "YUNHAN_"
KIB = 1024
MIB = 1024 * 1024

RESERVED = frozenset(
    {
        "redis_url",
    }
)
"""Names that the design fixes but this version does not use: accepted, reported by `reserved_in`."""


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
    env: Literal["development", "production"] = setting(
        "development",
        "name",
        "production refuses generated master keys and the process rung",
    )
    data_dir: Path = setting(
        Path(".yunhan"), "path", "everything that this program keeps on this machine"
    )
    http: str = setting("127.0.0.1:8700", "host:port", "address of the gateway's HTTP listener")
    https: str = setting(
        "127.0.0.1:8743",
        "host:port",
        "address of the HTTPS listener; empty = none, a proxy before us ends TLS",
    )
    public_url: str = setting(
        "", "URL", "endpoint that clients reach, behind a proxy; empty = the HTTP listener"
    )
    trigger_domain: str = setting(
        "fn.localhost", "host name", "HTTP triggers of a space answer at {space id}.{this domain}"
    )
    trigger_public_port: int = setting(
        0,
        "port",
        "HTTPS port at which clients reach triggers, behind a proxy; 0 = that of YUNHAN_HTTPS",
        ge=0,
        le=65535,
    )
    trigger_custom_domain_inline: bool = setting(
        True,  # noqa: FBT003 - a default like the others
        "boolean",
        "on custom domains functions choose content-disposition; false = always attachment",
    )
    documents_url: str = setting(
        "embedded:", "URL", "document database: embedded: or mongodb://..."
    )
    documents_timeout_s: float = setting(
        5.0, "s", "longest wait for a server or an answer of the document database", gt=0
    )
    files_url: str = setting(
        "file:", "URL", "file store: file: (below the data directory), file:///path or s3://bucket"
    )
    queue_url: str = setting("memory:", "URL", "queue: memory:")
    sandbox: Literal["auto", "process", "landlock", "bubblewrap", "docker"] = setting(
        "auto", "name", "rung of isolation; auto = the strongest that is here"
    )
    node_paths: str = setting(
        "", "major=path,...", "further Node.js executables, e.g. 20=/usr/bin/node"
    )

    # keys
    master_key_file: Path | None = setting(
        None, "path", "32 random bytes, base64; seals every stored secret; required in production"
    )
    access_key_id: str = setting(
        "", "text", "first management key; empty = generated in the data directory"
    )
    access_key_secret: SecretStr = setting(
        SecretStr(""), "secret", "secret of the first management key"
    )
    token_ttl_s: int = setting(600, "s", "life of an access token, as the original's", ge=1)
    token_key_rotate_s: float = setting(
        86_400.0,
        "s",
        "age at which a new key begins to sign tokens; the last two are accepted",
        gt=0,
    )
    client_clock_skew_s: int = setting(
        86_400,
        "s",
        "accepted difference to a client's clock; phones are often wrong; 0 = any",
        ge=0,
    )
    management_clock_skew_s: int = setting(
        900, "s", "accepted age of a management request; a nonce counts once in this time", ge=0
    )
    management_nonces_max: int = setting(
        100_000, "count", "remembered nonces; beyond it management requests are refused", ge=1
    )
    upload_url_ttl_s: int = setting(3600, "s", "life of a signed upload or download address", ge=1)

    # limits of the product guide and of the wire protocols
    space_name_min: int = setting(3, "characters", "shortest name of a space", ge=1, le=64)
    space_name_max: int = setting(15, "characters", "longest name of a space", ge=1, le=64)
    function_name_max: int = setting(30, "characters", "longest name of a function", ge=1, le=64)
    desc_max: int = setting(128, "characters", "longest description", ge=1, le=4096)
    functions_per_space_max: int = setting(300, "count", "functions in one space", ge=1)
    function_env_max: int = setting(
        64, "count", "environment variables of one function", ge=1, le=1024
    )
    function_env_max_bytes: int = setting(
        16 * KIB,
        "bytes",
        "environment variables of one function, names and values; jobs and the space's document"
        " carry them",
        ge=1,
        le=32 * KIB,
    )
    spaces_max: int = setting(10_000, "count", "spaces in one installation", ge=1)
    args_max_bytes: int = setting(1 * MIB, "bytes", "arguments of one call", ge=1)
    result_max_bytes: int = setting(6 * MIB, "bytes", "result of one call", ge=1)
    body_timeout_s: float = setting(
        30.0, "s", "longest wait for the body of a request; uploads: for the next part of it", gt=0
    )
    body_max_bytes: int = setting(
        3 * MIB, "bytes", "HTTP body of /client; arguments in it are escaped twice", ge=1
    )
    management_body_max_bytes: int = setting(
        8 * MIB, "bytes", "HTTP body of a management request", ge=1
    )
    trigger_path_max: int = setting(
        128, "characters", "longest path of an HTTP trigger", ge=5, le=4096
    )
    trigger_request_max_bytes: int = setting(
        4096, "bytes", "body of a request to an HTTP trigger, unless its space says otherwise", ge=1
    )
    trigger_response_max_bytes: int = setting(
        4096, "bytes", "body of an HTTP trigger's answer, unless its space says otherwise", ge=1
    )
    trigger_body_max_bytes: int = setting(
        1 * MIB, "bytes", "what a space may raise these two to", ge=1
    )
    timeout_sync_max_s: int = setting(
        900, "s", "longest run of a synchronous call, whatever its function asks for", ge=1, le=900
    )
    run_function_max_s: int = setting(
        60, "s", "longest run by RunFunction, as the original's", ge=1, le=900
    )
    call_depth_max: int = setting(
        8, "count", "how deep functions may call functions; deeper is refused", ge=1, le=64
    )

    # connections
    bodies_max_bytes: int = setting(
        256 * MIB, "bytes", "request bodies being read at the same time; more are refused", ge=1
    )
    connections_max: int = setting(
        4096, "count", "open connections of all clients; more are refused", ge=1
    )
    head_timeout_s: float = setting(
        10.0, "s", "longest wait for the head of a new connection's first request", gt=0
    )
    head_fields_max: int = setting(64, "count", "header fields of one request", ge=1)
    head_field_max_bytes: int = setting(
        8190, "bytes", "one header field, or the first line of a request", ge=256
    )
    keepalive_s: float = setting(
        75.0, "s", "longest wait for the next request on a connection; longer than a proxy's", gt=0
    )
    write_stall_s: float = setting(
        30.0, "s", "a client that takes nothing of its answer for this time is cut off", gt=0
    )
    linger_s: float = setting(
        1.0, "s", "after a refusal the rest of the body is taken for this time, then cut off", gt=0
    )
    tls_handshake_timeout_s: float = setting(10.0, "s", "longest TLS handshake", gt=0)
    tls_handshakes_max: int = setting(
        128, "count", "TLS handshakes under way; one more ends the oldest", ge=2
    )
    tls_contexts_max: int = setting(
        1000, "count", "certificates of custom domains kept ready for handshakes", ge=1
    )
    tls_renew_check_s: float = setting(
        3600.0, "s", "how often it is looked whether our own certificate expires soon", gt=0
    )

    # code packages
    package_zip_max_bytes: int = setting(100 * MIB, "bytes", "uploaded zip", ge=1)
    package_unpacked_max_bytes: int = setting(
        500 * MIB, "bytes", "unpacked code, guide's limit", ge=1
    )
    package_entries_max: int = setting(50_000, "count", "entries of a zip", ge=1)
    package_ratio_max: int = setting(
        200, "ratio", "unpacked to packed size, of archives above 10 MiB unpacked", ge=1
    )
    uploads_in_flight_max: int = setting(4, "count", "uploads taken at the same time", ge=1)
    code_cache_max_bytes: int = setting(
        5 * 1024 * MIB,
        "bytes",
        "unpacked code kept on a worker; the longest unused goes first",
        ge=1,
    )

    # queue, slots, sandboxes
    slots: int = setting(16, "count", "invocations that run at the same time on one worker", ge=1)
    queue_max_jobs: int = setting(
        1000, "count", "synchronous jobs that wait; more are refused", ge=1
    )
    queue_max_jobs_per_space: int = setting(
        250, "count", "synchronous jobs of one space that wait; more are refused", ge=1
    )
    queue_max_bytes: int = setting(
        256 * MIB,
        "bytes",
        "arguments of waiting jobs; a quarter for one space; more is refused",
        ge=1,
    )
    queue_wait_s: float = setting(
        30.0, "s", "longest wait of a synchronous job; then it is expired and never run", gt=0
    )
    sandboxes_max: int = setting(
        64, "count", "live sandboxes on one worker, idle ones included; must exceed slots", ge=1
    )
    sandboxes_prewarmed: int = setting(
        1, "count", "sandboxes kept ready without code for first calls", ge=0
    )
    sandbox_prewarm_memory_mb: int = setting(
        256, "MB", "memory class of prewarmed sandboxes; a new function's default", ge=128, le=2048
    )
    sandbox_idle_s: float = setting(900.0, "s", "an idle sandbox is stopped after this time", gt=0)
    sandbox_pause_after_s: float = setting(
        0.1, "s", "an idle sandbox is paused after this time until its next call", ge=0
    )
    sandbox_start_timeout_s: float = setting(10.0, "s", "longest start of a sandbox", gt=0)
    sandbox_load_timeout_s: float = setting(10.0, "s", "longest load of a function's modules", gt=0)
    sandbox_stop_grace_s: float = setting(
        2.0, "s", "longest wait for a killed process to be gone", ge=0
    )
    calls_in_flight_max: int = setting(
        100, "count", "service calls (ctx.mpserverless) under way in one sandbox", ge=1
    )
    call_max_bytes: int = setting(16 * MIB, "bytes", "one service call or its answer", ge=1)

    sandbox_cpus: float = setting(1.0, "cores", "processor time of one sandbox", gt=0)
    sandbox_pids_max: int = setting(
        128, "count", "processes and threads of one sandbox; Node needs a dozen", ge=64
    )
    sandbox_files_max: int = setting(1024, "count", "open files of one sandbox's process", ge=64)
    sandbox_tmp_mb: int = setting(64, "MB", "writable /tmp of one sandbox, in memory", ge=1)
    egress_allow: str = setting(
        "",
        "rules",
        "private addresses that functions may reach, e.g. 10.0.0.5:3306, db.internal, 10.1.0.0/16",
    )
    egress_public: bool = setting(
        True,  # noqa: FBT003 - a default like the others
        "boolean",
        "functions may reach public addresses",
    )
    egress_connections_max: int = setting(
        64, "count", "open connections of one sandbox to the network", ge=1
    )
    docker_host: str = setting(
        "", "URL", "unix:// address of the Docker engine; empty = DOCKER_HOST or the usual one"
    )
    docker_runtime: str = setting(
        "", "name", "OCI runtime of the engine: runc, runsc, ...; empty = its default"
    )
    docker_base_image: str = setting(
        "scratch", "image", "what the sandbox image is built on; scratch = this machine's Node.js"
    )
    docker_spawns_max: int = setting(4, "count", "containers started at the same time", ge=1)
    docker_reconcile_s: float = setting(
        60.0, "s", "how often the engine's containers are compared with ours", gt=0
    )

    # control plane cache
    control_max_age_s: float = setting(
        5.0, "s", "oldest view of spaces and functions that a call may use", gt=0
    )
    control_poll_s: float = setting(2.0, "s", "how often cached spaces are compared", gt=0)
    control_cache_spaces: int = setting(1000, "count", "spaces kept in memory", ge=1)

    # logs and records
    log_line_max_bytes: int = setting(32 * KIB, "bytes", "one log line; longer ones are cut", ge=1)
    log_lines_max: int = setting(1000, "count", "log lines of one invocation", ge=1)
    log_max_bytes: int = setting(256 * KIB, "bytes", "log text of one invocation", ge=1)
    record_keep_days: float = setting(7.0, "days", "age at which records are deleted", gt=0)
    record_keep_per_space: int = setting(100_000, "count", "records kept for one space", ge=1)
    record_buffer_max: int = setting(
        10_000,
        "count",
        "records waiting to be written; beyond it they are dropped and counted",
        ge=1,
    )
    record_buffer_max_bytes: int = setting(
        64 * MIB, "bytes", "log text waiting to be written; likewise", ge=1
    )
    record_batch_max: int = setting(200, "count", "records written in one batch", ge=1)
    record_flush_s: float = setting(0.2, "s", "longest wait of a record before it is written", gt=0)
    record_prune_s: float = setting(600.0, "s", "how often old records are deleted", gt=0)
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

    # start and stop
    drain_grace_s: float = setting(30.0, "s", "longest wait for running calls at shutdown", ge=0)
    shutdown_flush_s: float = setting(5.0, "s", "longest wait for records at shutdown", ge=0)

    @field_validator("http")
    @classmethod
    def _an_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("https")
    @classmethod
    def _an_address_or_none(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @field_validator("trigger_domain")
    @classmethod
    def _a_domain(cls, value: str) -> str:
        if not HOST_NAME.fullmatch(value):
            raise ValueError("a host name in lower case, e.g. fn.example.com")
        return value

    @field_validator("data_dir", "master_key_file", mode="before")
    @classmethod
    def _a_path(cls, value: Any) -> Any:
        if value == "":  # would be the current folder
            raise ValueError("a path; unset the variable for the default")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.sandboxes_max <= self.slots:
            raise ValueError(
                f"YUNHAN_SANDBOXES_MAX={self.sandboxes_max} must be greater than"
                f" YUNHAN_SLOTS={self.slots}: every slot needs a sandbox"
            )
        if self.control_poll_s >= self.control_max_age_s:
            raise ValueError(
                f"YUNHAN_CONTROL_POLL_S={self.control_poll_s} must be smaller than"
                f" YUNHAN_CONTROL_MAX_AGE_S={self.control_max_age_s}"
            )
        for host in self.own_hosts:
            if host == self.trigger_domain or host.partition(".")[2] == self.trigger_domain:
                raise ValueError(
                    f"YUNHAN_TRIGGER_DOMAIN={self.trigger_domain} contains {host}, at which clients reach"
                    " this server (YUNHAN_PUBLIC_URL): that name would be a space's; use a domain of its own"
                )
        if self.trigger_body_max_bytes < max(
            self.trigger_request_max_bytes, self.trigger_response_max_bytes
        ):
            raise ValueError(
                f"YUNHAN_TRIGGER_BODY_MAX_BYTES={self.trigger_body_max_bytes} must not be smaller than"
                " YUNHAN_TRIGGER_REQUEST_MAX_BYTES and YUNHAN_TRIGGER_RESPONSE_MAX_BYTES"
            )
        if self.space_name_min > self.space_name_max:
            raise ValueError(
                f"YUNHAN_SPACE_NAME_MIN={self.space_name_min} must not be greater than"
                f" YUNHAN_SPACE_NAME_MAX={self.space_name_max}"
            )
        return self

    @property
    def http_address(self) -> tuple[str, int]:
        """Host (an IPv6 address without its brackets) and port of `http`."""
        return split_address(self.http)

    @property
    def https_address(self) -> tuple[str, int] | None:
        """As `http_address`; None when there is no HTTPS listener."""
        return split_address(self.https) if self.https else None

    @property
    def own_hosts(self) -> frozenset[str]:
        """Host names at which clients reach the gateway itself, in lower case and `xn--`."""
        host = urlsplit(self.public_url).hostname if self.public_url else self.http_address[0]
        return frozenset({ascii_host(host or "")} - {""})

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
            pause_after_s=self.sandbox_pause_after_s,
        )


class SettingsError(Exception):
    """The environment does not make a valid configuration; the text says which variable and why."""


def load_settings(
    environ: Mapping[str, str] | None = None, *, pass_over_unknown: bool = False
) -> Settings:
    """Read the settings from the environment.

    Raises SettingsError, which tells all that is wrong at once; with `pass_over_unknown` unknown
    variables are not (see `unknown_in`), for commands that report them instead.
    """
    environ = os.environ if environ is None else environ
    problems = [] if pass_over_unknown else unknown_in(environ)
    given = {
        name: environ[PREFIX + name.upper()]
        for name in Settings.model_fields
        if PREFIX + name.upper() in environ
    }
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems += [
            _bad_value(str(e["loc"][0]), given, e["msg"]) if e["loc"] else own_words(e["msg"])
            for e in error.errors(include_input=False, include_url=False)
        ]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def unknown_in(environ: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable of the environment that looks like a setting but is none."""
    environ = os.environ if environ is None else environ
    problems = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        name = variable.removeprefix(PREFIX).lower()
        if variable.isupper() and (name in RESERVED or name in Settings.model_fields):
            continue
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
        problems.append(f"{variable} is no setting{hint} (yunhan config show lists them all)")
    return problems


def _bad_value(name: str, given: Mapping[str, str], message: str) -> str:
    """What is given and what is allowed."""
    info = Settings.model_fields[name]
    value = without_credentials(given.get(name, ""))[:SHOWN_MAX]
    shown = "" if info.annotation is SecretStr else f"={value}"
    return f"{PREFIX}{name.upper()}{shown}: must be {allowed(info) or own_words(message)}"


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


def describe(settings: Settings, environ: Mapping[str, str] | None = None) -> Iterator[SettingRow]:
    """Every setting with its value, source, unit and meaning, in the order of declaration.

    Secrets are masked, also those inside URLs."""
    environ = os.environ if environ is None else environ
    for name, info in Settings.model_fields.items():
        variable = PREFIX + name.upper()
        yield SettingRow(
            variable=variable,
            value=without_credentials(str(getattr(settings, name))),
            source="environment" if variable in environ else "default",
            unit=unit_of(info),
            text=info.description or "",
        )
