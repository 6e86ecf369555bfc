"""Bounds of the spaces' databases."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import MIB, SettingGroup, setting


class DatabaseSettings(SettingGroup):
    """What one command, one space and one process may use."""

    database_documents_max: int = setting(
        500, "count", "documents or values in one answer; find without a limit gives as many", ge=1
    )
    database_answer_max_bytes: int = setting(
        8 * 1024 * 1024, "bytes", "documents of one answer", ge=1024
    )
    database_document_max_bytes: int = setting(
        16 * MIB,
        "bytes",
        "a document that a command inserts or puts in the place of another, or an update, as BSON",
        ge=1024,
        le=16 * MIB,
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
    database_values_max: int = setting(
        200_000,
        "count",
        "values of one command of a function, the server SDK or the management side, those in objects and"
        " arrays counted",
        ge=1,
    )
    database_values_client_max: int = setting(
        20_000, "count", "values of one command of a client, which are fewer", ge=1
    )
    database_stages_max: int = setting(
        50, "count", "stages of a pipeline, nested ones included", ge=1
    )
    database_choices_max: int = setting(
        10_000, "count", "values of one list in a filter, as of $in", ge=1
    )
    database_regexes_max: int = setting(20, "count", "regular expressions in one command", ge=1)
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
    database_commands_max: int = setting(
        0,
        "count",
        "commands outside of transactions that are under way in one process, and as many in transactions;"
        " 0 = 12 for the embedded database, 256 for another one",
        ge=0,
    )
    database_commands_per_space_max: int = setting(
        0,
        "count",
        "the same of one space; 0 = 4 for the embedded database, 64 for another one",
        ge=0,
    )
    database_commands_reserved_percent: int = setting(
        25,
        "percent",
        "of the commands under way of a space and of a process: what clients leave to functions and backends",
        ge=0,
        le=90,
    )
    database_commands_waiting_max: int = setting(
        500,
        "count",
        "commands of one space that wait for room: of clients, and as many of functions and backends",
        ge=1,
    )
    database_commands_wait_ms: int = setting(
        2000, "ms", "a command waits so long for room, then it is refused", ge=1
    )
    database_transaction_idle_s: float = setting(
        10.0, "s", "a transaction without a command for so long is rolled back", gt=0
    )
    database_transaction_life_s: float = setting(
        60.0, "s", "a transaction that is not over after so long is rolled back", gt=0
    )
    database_transaction_waiting_max: int = setting(
        16, "count", "commands of one transaction, the one under way and those after it", ge=1
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
    def _a_client_has_no_more_values_than_a_function(self) -> Self:
        if self.database_values_client_max > self.database_values_max:
            raise ValueError(
                f"YUNHAN_DATABASE_VALUES_CLIENT_MAX={self.database_values_client_max} must not exceed"
                f" YUNHAN_DATABASE_VALUES_MAX={self.database_values_max}"
            )
        return self

    @model_validator(mode="after")
    def _a_command_without_time_has_less_than_the_most(self) -> Self:
        if self.database_time_ms > self.database_time_client_max_ms:
            raise ValueError(
                f"YUNHAN_DATABASE_TIME_MS={self.database_time_ms} must not exceed"
                f" YUNHAN_DATABASE_TIME_CLIENT_MAX_MS={self.database_time_client_max_ms}"
            )
        return self
