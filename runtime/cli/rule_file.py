"""Reading a rule document that people name on the command line."""

from __future__ import annotations

from typing import TextIO

from runtime.cli.errors import CliError

_FILE_MAX_CHARACTERS = 4_000_000
"""Far beyond what the program takes; a file that was named by mistake may be of any size."""


def read_rules(file: TextIO) -> str:
    """The text. Raises CliError for a file that holds none."""
    try:
        text = file.read(_FILE_MAX_CHARACTERS + 1)
    except UnicodeDecodeError:
        raise CliError(f"{file.name} is no text in UTF-8.", code="NoRuleFile") from None
    except OSError as error:
        raise CliError(f"{file.name} cannot be read: {error.strerror}.") from None
    if not text.strip() or len(text) > _FILE_MAX_CHARACTERS:
        raise CliError(f"{file.name} is empty or too large for rules.", code="NoRuleFile")
    return text
