"""What a request to an HTTP trigger and its answer may be."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import MIB, SettingGroup, setting


class TriggerSettings(SettingGroup):
    """HTTP triggers, apart from where they are reached."""

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
    trigger_custom_domain_inline: bool = setting(
        True,  # noqa: FBT003 - a default like the others
        "boolean",
        "on custom domains functions choose content-disposition; false = always attachment",
    )

    @model_validator(mode="after")
    def _spaces_may_not_have_less(self) -> Self:
        if self.trigger_body_max_bytes < max(
            self.trigger_request_max_bytes, self.trigger_response_max_bytes
        ):
            raise ValueError(
                f"YUNHAN_TRIGGER_BODY_MAX_BYTES={self.trigger_body_max_bytes} must not be smaller than"
                " YUNHAN_TRIGGER_REQUEST_MAX_BYTES and YUNHAN_TRIGGER_RESPONSE_MAX_BYTES"
            )
        return self
