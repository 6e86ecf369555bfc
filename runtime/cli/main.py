"""The command `yunhan`: which commands there are. Each is imported only when it is called."""

from __future__ import annotations

import importlib
from typing import NoReturn

import click

_COMMANDS = {
    "up": "runtime.cli.up:up",
    "space": "runtime.cli.space:space",
    "keys": "runtime.cli.keys:keys",
    "deploy": "runtime.cli.deploy:deploy",
    "function": "runtime.cli.function:function",
    "invoke": "runtime.cli.invoke:invoke",
    "logs": "runtime.cli.logs:logs",
    "doctor": "runtime.cli.doctor:doctor",
    "config": "runtime.cli.config:config",
}


class LazyGroup(click.Group):
    """Imports a command when it is wanted, so that a short command starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="yunhan")
def cli() -> None:
    """Yunhan: a function runtime for mini programs, on your own machines.

    Exit codes: 0 done, 1 the function or the program refused, 2 wrong usage or settings, 3 the
    program cannot be reached.
    """


def main() -> NoReturn:
    """Entry point of the console script."""
    cli(prog_name="yunhan")
    raise AssertionError("click ends the process")


if __name__ == "__main__":
    main()
