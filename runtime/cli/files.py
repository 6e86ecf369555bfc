"""`yunhan files`: the files of a space."""

from __future__ import annotations

import click

from runtime.cli.groups import LazyGroup

_COMMANDS = {
    "put": "runtime.cli.files_put:put",
    "get": "runtime.cli.files_get:get",
    "ls": "runtime.cli.files_list:list_files",
    "rm": "runtime.cli.files_list:remove",
    "rules": "runtime.cli.files_rules:rules",
}


@click.group(cls=LazyGroup, places=_COMMANDS)
def files() -> None:
    """The files of a space: put, get, list, remove, access rules. No access rule holds for these commands."""
