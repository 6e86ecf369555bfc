"""How far the transfer of each file is, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""Told of the bytes of each piece."""
Transfer = Callable[[str, int], Advance]
"""Begins a file: its name, its size in bytes."""


@contextmanager
def transfer_bars() -> Iterator[Transfer]:
    """A bar for the file under way, on a terminal only; it is gone at the end."""
    if not sys.stderr.isatty():
        yield lambda _name, _size: _nothing
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def begin(name: str, size: int) -> Advance:
            for done in bars.task_ids:
                bars.remove_task(done)
            shown = "".join(each if each.isprintable() else "?" for each in name)
            task = bars.add_task(escape(shown), total=size)
            return lambda count: bars.advance(task, count)

        yield begin


def _nothing(_count: int) -> None:
    pass
