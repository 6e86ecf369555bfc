"""Asynchronous jobs: what holds for functions that say nothing, and what no function may pass."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import KIB, MIB, SettingGroup, setting


class AsyncJobSettings(SettingGroup):
    """Terms of jobs (`runtime.messages.AsyncTerms`) and their sizes."""

    timeout_async_max_s: int = setting(
        7200,
        "s",
        "longest run of an asynchronous job, whatever its function asks for",
        ge=1,
        le=7200,
    )
    async_attempts: int = setting(
        3, "count", "attempts at an asynchronous job, of functions that set none", ge=1, le=10
    )
    async_backoff_first_s: float = setting(
        2.0, "s", "wait before the second attempt; doubled for each further one", ge=0, le=86_400
    )
    async_backoff_longest_s: float = setting(
        300.0, "s", "longest wait between two attempts", ge=0, le=86_400
    )
    async_keep_s: float = setting(
        86_400.0, "s", "a job that no worker could start for so long is expired", gt=0
    )
    async_inline_max_bytes: int = setting(
        64 * KIB,
        "bytes",
        "arguments or result of an asynchronous job that its message and its entry carry; larger ones are in"
        " the file store, up to YUNHAN_ARGS_MAX_BYTES and YUNHAN_RESULT_MAX_BYTES",
        ge=0,
        le=1 * MIB,
    )

    @model_validator(mode="after")
    def _longest_backoff_is_the_longest(self) -> Self:
        if self.async_backoff_first_s > self.async_backoff_longest_s:
            raise ValueError(
                f"YUNHAN_ASYNC_BACKOFF_FIRST_S={self.async_backoff_first_s:g} must not be greater than"
                f" YUNHAN_ASYNC_BACKOFF_LONGEST_S={self.async_backoff_longest_s:g}"
            )
        return self
