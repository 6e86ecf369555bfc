"""What goes wrong on the command line, and with which exit code it ends.

0  done
1  the function failed, or the program refused the request
2  the command line or the settings are wrong (click.UsageError, SettingsCliError)
3  the program cannot be reached
130  Ctrl-C
"""

from __future__ import annotations

from typing import IO, Any, ClassVar

import click


class CliError(click.ClickException):
    """Ends the command with a sentence for people. `next_step` says what to do about it."""

    exit_code: ClassVar[int] = 1
    usual_code: ClassVar[str] = "Failed"

    def __init__(self, message: str, *, next_step: str = "", code: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step
        self.code = code or self.usual_code
        """Stable, for scripts: the management API's where it is known."""
        self.told = message
        """Without the code."""

    def show(self, file: IO[Any] | None = None) -> None:
        """To stderr: stdout belongs to results."""
        click.secho("error: ", fg="red", bold=True, nl=False, err=True, file=file)
        click.echo(self.message, err=True, file=file)
        if self.next_step:
            click.echo(f"  {self.next_step}", err=True, file=file)


class RemoteError(CliError):
    """The program answered with an error. `code` is the management API's."""

    def __init__(self, code: str, message: str, *, next_step: str = "") -> None:
        super().__init__(f"{message} ({code})", next_step=next_step, code=code)
        self.told = message


class SettingsCliError(CliError):
    """The environment does not make a valid configuration."""

    exit_code = 2
    usual_code = "InvalidSettings"


class UnreachableError(CliError):
    """Nothing answers where the program should be."""

    exit_code = 3
    usual_code = "Unreachable"


def as_json(error: click.ClickException) -> dict[str, Any]:
    """What a command with --json prints instead of a result."""
    if isinstance(error, CliError):
        code, message = error.code, error.told
    else:
        code, message = type(error).__name__, error.format_message()
    return {"success": False, "error": {"code": code, "message": message}}
