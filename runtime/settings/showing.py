"""Settings told to people: `yunhan config show`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from runtime.settings.fields import unit_of, without_credentials
from runtime.settings.model import PREFIX, Settings, in_order


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
    for name, info in in_order():
        variable = PREFIX + name.upper()
        yield SettingRow(
            variable=variable,
            value=without_credentials(str(getattr(settings, name))),
            source="environment" if variable in environ else "default",
            unit=unit_of(info),
            text=info.description or "",
        )
