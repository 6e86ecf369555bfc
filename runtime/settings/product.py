"""Limits of the product guide and of the wire protocols."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import KIB, MIB, SettingGroup, setting


class ProductSettings(SettingGroup):
    """What one installation, space, function and call may be."""

    spaces_max: int = setting(10_000, "count", "spaces in one installation", ge=1)
    space_name_min: int = setting(3, "characters", "shortest name of a space", ge=1, le=64)
    space_name_max: int = setting(15, "characters", "longest name of a space", ge=1, le=64)
    functions_per_space_max: int = setting(300, "count", "functions in one space", ge=1)
    function_name_max: int = setting(30, "characters", "longest name of a function", ge=1, le=64)
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
    desc_max: int = setting(128, "characters", "longest description", ge=1, le=4096)
    args_max_bytes: int = setting(1 * MIB, "bytes", "arguments of one call", ge=1)
    result_max_bytes: int = setting(6 * MIB, "bytes", "result of one call", ge=1)
    body_max_bytes: int = setting(
        3 * MIB,
        "bytes",
        "HTTP body of /client and /server; arguments in it are escaped twice",
        ge=1,
    )
    management_body_max_bytes: int = setting(
        8 * MIB, "bytes", "HTTP body of a management request", ge=1
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

    @model_validator(mode="after")
    def _names_have_a_length(self) -> Self:
        if self.space_name_min > self.space_name_max:
            raise ValueError(
                f"YUNHAN_SPACE_NAME_MIN={self.space_name_min} must not be greater than"
                f" YUNHAN_SPACE_NAME_MAX={self.space_name_max}"
            )
        return self
