"""The command group `yunhan`: imports commands late, guesses what was meant, tells errors as JSON."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click

from runtime.cli.errors import as_json
from runtime.cli.output import print_json

JSON_WANTED = f"{__name__}.json"
"""In a context's `meta` once --json was read."""


class LazyGroup(click.Group):
    """Imports a command when it is wanted, so that a short command starts fast.

    `places` names each command's `module:object`.
    """

    def __init__(self, *args: Any, places: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._places.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._places and not name.startswith("-"):
            near = difflib.get_close_matches(name, self._places, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Errors of a command with --json are one line of JSON on stdout, with their exit code."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if not ctx.meta.get(JSON_WANTED):
                raise
            print_json(as_json(error))
            ctx.exit(error.exit_code)
