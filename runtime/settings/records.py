"""Functions' logs and the records of invocations."""

from __future__ import annotations

from runtime.settings.fields import KIB, MIB, SettingGroup, setting


class RecordSettings(SettingGroup):
    """What is kept of invocations, and how it is written."""

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
