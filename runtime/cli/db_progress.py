"""How far an export or import is, on stderr."""

from __future__ import annotations

import sys

import click

from runtime.cli.output import note


class TransferProgress:
    """One line that is written again on a terminal; in a pipe only the end of each collection."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._width = 0

    def at(self, collection: str, count: int, total: int) -> None:
        """`total` is 0 when it is not known."""
        if self._live:
            of = f" of {total:,}" if total else ""
            self._write(f"{collection}: {count:,}{of}")

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._live:
            self._write("")
            click.echo("\r", nl=False, err=True)
            self._width = 0
        note(text)

    def _write(self, text: str) -> None:
        shown = "".join(each if each.isprintable() else "?" for each in text)
        click.echo(f"\r{shown.ljust(self._width)}", nl=False, err=True)
        self._width = len(shown)
