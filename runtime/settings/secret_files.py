"""Secrets that a setting names a file for."""

from __future__ import annotations

from pathlib import Path

from runtime.settings.reading import SettingsError


def secret_in(file: str, variable: str, *, encoding: str = "utf-8") -> str:
    """The file's text without white space around it. Raises SettingsError, which names `variable`."""
    try:
        return Path(file).read_text(encoding=encoding).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}={file} cannot be read: {type(error).__name__}") from None
