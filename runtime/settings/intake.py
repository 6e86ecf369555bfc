"""The public intake: which users of the broker may ask for jobs by messages, and how many wait."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.intake.users import UsersError, read_users
from runtime.settings.fields import MIB, SettingGroup, setting


class IntakeSettings(SettingGroup):
    """Only with RabbitMQ. Without any user there is no intake."""

    intake_users: str = setting(
        "",
        "text",
        "users of the broker and the spaces they may send to: user=space,space;user2=*",
    )
    intake_users_file: str = setting(
        "",
        "path",
        'the same as JSON, read at the start: {"user": ["space"], "user2": ["*"]}; instead of the text',
    )
    intake_max_messages: int = setting(
        100_000,
        "count",
        "messages that wait in the intake, and as many again that were delayed; more are refused",
        ge=1,
    )
    intake_max_bytes: int = setting(512 * MIB, "bytes", "the same in bytes", ge=1)
    intake_in_hand_max: int = setting(
        16, "count", "messages that one gateway deals with at the same time", ge=1, le=1000
    )
    intake_try_s: float = setting(
        2.0, "s", "a message of which no job can be made is delayed after this", ge=0, le=600
    )
    intake_delay_s: int = setting(10, "s", "how long a delayed message waits", ge=1, le=86_400)
    intake_tries_max: int = setting(
        360,
        "count",
        "delays of a message because jobs of its space are refused; then it is a dead letter",
        ge=0,
    )
    intake_hold_s: float = setting(
        60.0,
        "s",
        "while messages cannot be delayed either, a gateway keeps one so long, then another one may have it",
        gt=0,
        le=600,
    )
    intake_delivery_limit: int = setting(
        1000,
        "count",
        "a message that came, or was delayed, so often and was not settled is a dead letter",
        ge=1,
    )
    intake_dead_max: int = setting(
        10_000, "count", "dead letters of the intake that are kept; the oldest go first", ge=1
    )
    intake_dead_max_bytes: int = setting(
        128 * MIB, "bytes", "dead letters of the intake that are kept; the oldest go first", ge=1
    )

    @model_validator(mode="after")
    def _users_can_be_read(self) -> Self:
        if self.intake_users and self.intake_users_file:
            raise ValueError(
                "YUNHAN_INTAKE_USERS and YUNHAN_INTAKE_USERS_FILE are both set; keep one of them"
            )
        try:
            read_users(self.intake_users)
        except UsersError as error:
            raise ValueError(f"YUNHAN_INTAKE_USERS: {error}") from None
        return self

    @property
    def intake_on(self) -> bool:
        """Whether there is an intake."""
        return bool(self.intake_users or self.intake_users_file)
