"""What commands print: one JSON line for scripts, tables and sentences for people."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

_GAP = "  "
_LAST_MIN = 16
"""Columns that the last cell of a row needs to be read beside the others."""


def print_json(value: Any) -> None:
    """One line on stdout, so that a script may read line by line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, below: int = 1) -> None:
    """A table on stdout; wide characters count two columns.

    Only the last column is ever broken. On a terminal that is too narrow for that, the last `below`
    columns of each row go to a line of their own; in a pipe every row is one line.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table_lines(columns, rows, width=width, below=below):
        click.echo(line)


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None, below: int
) -> Iterator[str]:
    """The lines of `print_table` for a terminal of that many columns; None = no limit."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    needed = sum(widths[:-1]) + len(_GAP) * (len(columns) - 1) + min(widths[-1], _LAST_MIN)
    narrow = width is not None and needed > width
    kept = len(columns) - (below if narrow else 1)
    for row in (columns, *rows):
        cells = zip(row[:kept], widths, strict=False)
        start = "".join(cell + " " * (size - cell_len(cell)) + _GAP for cell, size in cells)
        if narrow:
            yield start.rstrip()
            start = _GAP
        rest = _GAP.join(" ".join(cell.splitlines()) for cell in row[kept:] if cell)
        yield from _wrapped(start, rest, width)


def _wrapped(start: str, text: str, width: int | None) -> Iterator[str]:
    """`text` beside `start`, broken between words where there are some."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    indent = " " * cell_len(start)
    if width is None or cell_len(text) <= width - len(indent):
        yield (start + text).rstrip()
        return
    for line in Text(text).wrap(Console(), max(width - len(indent), 1), overflow="fold"):
        yield (start + line.plain).rstrip()
        start = indent


def print_fields(fields: Mapping[str, str]) -> None:
    """Names and values, one pair a line."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name, Text(value))
    _print(table)


def small_names(value: Any) -> Any:
    """An answer's members as scripts get them, at every depth: names begin small."""
    if isinstance(value, Mapping):
        return {name[:1].lower() + name[1:]: small_names(each) for name, each in value.items()}
    if isinstance(value, list):
        return [small_names(each) for each in value]
    return value


def note(text: str) -> None:
    """A sentence about what happened, on stderr: stdout belongs to results."""
    click.echo(text, err=True)


def local_time(time: int | str) -> str:
    """A moment (milliseconds since 1970, or ISO 8601) in the time zone of this machine."""
    if isinstance(time, int):
        moment = datetime.fromtimestamp(time / 1000).astimezone()
    else:
        moment = datetime.fromisoformat(time).astimezone()
    return moment.isoformat(" ", "milliseconds")


def _print(table: Any) -> None:
    """Fitted to a terminal; in a pipe as wide as its longest line, because scripts want whole values."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    console = Console(width=10_000, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
