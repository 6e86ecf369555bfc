"""`yunhan keys`: the management key."""

from __future__ import annotations

import click

from runtime.cli.connection import find_key, read_access
from runtime.cli.options import json_option
from runtime.cli.output import print_fields, print_json


@click.command
@json_option
def keys(as_json: bool) -> None:
    """Show the key of the management API, for SDKs and consoles. It can do everything."""
    key = find_key(read_access())
    if as_json:
        print_json({"accessKeyId": key.key_id, "accessKeySecret": key.secret})
    else:
        print_fields({"Access key id": key.key_id, "Access key secret": key.secret})
