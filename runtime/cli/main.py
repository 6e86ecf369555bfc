"""The command `yunhan`: which commands there are. Each is imported only when it is called."""

from __future__ import annotations

from typing import NoReturn

import click

from runtime.cli.groups import LazyGroup

_COMMANDS = {
    "up": "runtime.cli.up:up",
    "gateway": "runtime.cli.gateway:gateway",
    "worker": "runtime.cli.worker:worker",
    "space": "runtime.cli.space:space",
    "keys": "runtime.cli.keys:keys",
    "deploy": "runtime.cli.deploy:deploy",
    "function": "runtime.cli.function:function",
    "egress": "runtime.cli.egress:egress",
    "cors": "runtime.cli.cors:cors",
    "db": "runtime.cli.db:db",
    "files": "runtime.cli.files:files",
    "platform": "runtime.cli.platform:platform",
    "user": "runtime.cli.user:user",
    "trigger": "runtime.cli.trigger:trigger",
    "timer": "runtime.cli.timer:timer",
    "invoke": "runtime.cli.invoke:invoke",
    "job": "runtime.cli.job:job",
    "dead": "runtime.cli.dead:dead",
    "ledger": "runtime.cli.ledger:ledger",
    "logs": "runtime.cli.logs:logs",
    "doctor": "runtime.cli.doctor:doctor",
    "config": "runtime.cli.config:config",
}


@click.group(
    cls=LazyGroup, places=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="yunhan")
def cli() -> None:
    """Yunhan: a function runtime for mini programs, on your own machines.

    Exit codes: 0 done, 1 the function or the program refused, 2 wrong usage or settings, 3 the
    program cannot be reached, 130 Ctrl-C.
    """


def main() -> NoReturn:
    """Entry point of the console script."""
    cli(prog_name="yunhan")
    raise AssertionError("click ends the process")


if __name__ == "__main__":
    main()
