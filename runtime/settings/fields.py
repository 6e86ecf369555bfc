"""How one setting is declared, and what is said about it and about a bad value of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address
from typing import Any, get_args

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

KIB = 1024
MIB = 1024 * 1024

SHOWN_MAX = 80
"""Characters of a bad value that are told."""
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
"""`user:password@` of a URL, as in mongodb://user:password@host."""


class SettingGroup(BaseSettings):
    """Settings that belong together: one file of this package, one base of `Settings`. Frozen."""

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

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Of `repr` and `str`, which tracebacks and logs may show: URLs without their passwords."""
        for name, value in super().__repr_args__():
            yield name, without_credentials(value) if isinstance(value, str) else value


def setting(
    default: Any,
    unit: str,
    text: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Any:
    """One setting: default, unit (for people), meaning and, of a number, what it may be."""
    bounds = [
        f"{words} {bound}"
        for words, bound in (("at least", ge), ("more than", gt), ("at most", le))
        if bound is not None
    ]
    return Field(
        default=default,
        description=text,
        ge=ge,
        gt=gt,
        le=le,
        allow_inf_nan=False if isinstance(default, float) else None,
        json_schema_extra={"unit": unit, "bounds": ", ".join(bounds)},
    )


def not_empty(value: Any) -> Any:
    """For a path: nothing would be the current folder. Raises ValueError."""
    if value == "":
        raise ValueError("a path; unset the variable for the default")
    return value


HOST_NAME = re.compile(
    r"(?=.{1,190}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
"""Room for a space's id before it."""

_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")


def split_address(text: str) -> tuple[str, int]:
    """Host and port. Raises ValueError: a part that is left out would open every interface."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise ValueError("host:port with a port from 1 to 65535, e.g. 127.0.0.1:8700 or [::1]:8700")
    if match["v6"]:
        try:
            IPv6Address(match["v6"])
        except AddressValueError:
            raise ValueError("an IPv6 address between its brackets, e.g. [::1]:8700") from None
    return match["v6"] or match["host"], int(match["port"])


def ascii_host(host: str) -> str:
    """A host name as clients send it: lower case, `xn--`, no dot at the end. Raises ValueError."""
    name = host.lower().removesuffix(".")
    return name if name.isascii() else name.encode("idna").decode("ascii")


def allowed(info: FieldInfo) -> str:
    """In words; empty when its validator says so."""
    choices = [choice for choice in get_args(info.annotation) if isinstance(choice, str)]
    if choices:
        return f"one of {', '.join(choices)}"
    if info.annotation is bool:
        return "true or false"
    if info.annotation not in {int, float}:
        return ""
    kind = "a whole number" if info.annotation is int else "a number"
    unit = unit_of(info)
    bounds = _extra(info, "bounds")
    return f"{kind} ({unit}), {bounds}" if bounds else f"{kind} ({unit})"


def own_words(message: str) -> str:
    """What a validator of ours said, without what pydantic puts before it."""
    return message.removeprefix("Value error, ")


def unit_of(info: FieldInfo) -> str:
    """The unit of a setting, for people."""
    return _extra(info, "unit")


def _extra(info: FieldInfo, name: str) -> str:
    extra = info.json_schema_extra
    return str(extra.get(name, "")) if isinstance(extra, dict) else ""


def without_credentials(text: str) -> str:
    """`text` with the user and password of every URL masked."""
    return _URL_CREDENTIALS.sub("***@", text)
