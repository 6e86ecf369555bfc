"""Bounds of the spaces' databases."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import SettingGroup, setting


class DatabaseSettings(SettingGroup):
    """What one command, one space and one process may use."""

    database_documents_max: int = setting(
        500, "count", "documents or values in one answer; find without a limit gives as many", ge=1
    )
    database_answer_max_bytes: int = setting(
        8 * 1024 * 1024, "bytes", "documents of one answer", ge=1024
    )
    database_insert_max: int = setting(1000, "count", "documents of one insertMany", ge=1)
    database_time_ms: int = setting(1000, "ms", "maxTimeMS of a command that names none", ge=1)
    database_time_client_max_ms: int = setting(
        3000, "ms", "longest maxTimeMS of a client; longer ones are shortened", ge=1
    )
    database_time_function_max_ms: int = setting(
        60_000, "ms", "longest maxTimeMS of a function, the server SDK or the management side", ge=1
    )
    database_depth_max: int = setting(
        100, "count", "nesting of a filter, update, document or pipeline", ge=1, le=150
    )
    database_stages_max: int = setting(
        50, "count", "stages of a pipeline, nested ones included", ge=1
    )
    database_choices_max: int = setting(
        10_000, "count", "values of one list in a filter, as of $in", ge=1
    )
    database_regex_max_chars: int = setting(
        1000, "count", "characters of a regular expression", ge=1
    )
    database_steps_max: int = setting(
        1_000_000,
        "count",
        "steps that the expressions of a command may take for one document, estimated before it runs",
        ge=10_000,
    )
    database_regex_degree_max: int = setting(
        0,
        "power",
        "search time of a regular expression as a power of the text's length, refused above;"
        " 0 = 2 for the embedded database, 6 for another one",
        ge=0,
        le=6,
    )
    database_transaction_idle_s: float = setting(
        10.0, "s", "a transaction without a command for so long is rolled back", gt=0
    )
    database_transaction_life_s: float = setting(
        60.0, "s", "a transaction that is not over after so long is rolled back", gt=0
    )
    database_transactions_max: int = setting(
        500, "count", "transactions that are open in one process", ge=1
    )
    database_transactions_per_space_max: int = setting(
        50, "count", "transactions of one space that are open in one process", ge=1
    )
    database_transactions_per_user_max: int = setting(
        5, "count", "transactions of one client's user that are open in one process", ge=1
    )
    database_transactions_reserved_percent: int = setting(
        20,
        "percent",
        "of the transactions of a space and of a process: what clients leave to functions and backends",
        ge=0,
        le=90,
    )
    database_transfer_documents_max: int = setting(
        1000, "count", "documents of one page of an export or import", ge=1, le=100_000
    )
    database_transfer_max_bytes: int = setting(
        1024 * 1024,
        "bytes",
        "lines of one page of an export or import; a document that is larger is a page of its own",
        ge=1024,
    )
    database_transfer_line_max_bytes: int = setting(
        48 * 1024 * 1024,
        "bytes",
        "one document of an import as extended JSON, which may be three times as long as the document",
        ge=1024,
    )

    @model_validator(mode="after")
    def _a_command_without_time_has_less_than_the_most(self) -> Self:
        if self.database_time_ms > self.database_time_client_max_ms:
            raise ValueError(
                f"YUNHAN_DATABASE_TIME_MS={self.database_time_ms} must not exceed"
                f" YUNHAN_DATABASE_TIME_CLIENT_MAX_MS={self.database_time_client_max_ms}"
            )
        return self
