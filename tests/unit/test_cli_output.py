from __future__ import annotations

import pytest
from rich.cells import cell_len

from runtime.cli.output import table_lines
from runtime.settings import describe, load_settings

IDENTIFIER = "mp-00000000-0000-4000-8000-000000000001"
SPACES = [("云函空间", IDENTIFIER, "RUNNING", "2026-11-21 02:11:44.462+00:00", "the first " * 9)]


def lines(width: int | None, below: int = 2) -> list[str]:
    columns = ("Name", "Id", "Status", "Created", "Description")
    return list(table_lines(columns, SPACES, width=width, below=below))


def test_a_narrow_terminal_gets_the_last_columns_on_a_line_of_their_own() -> None:
    told = lines(80)
    assert told[0].split() == ["Name", "Id", "Status"]
    assert told[2] == f"云函空间  {IDENTIFIER}  RUNNING"
    assert told[3].startswith("  2026-11-21 02:11:44.462+00:00  the first")
    assert max(map(cell_len, told)) <= 80


def test_a_wide_terminal_breaks_the_last_column_only() -> None:
    told = lines(120)
    assert told[1].startswith(
        f"云函空间  {IDENTIFIER}  RUNNING  2026-11-21 02:11:44.462+00:00  the"
    )
    assert told[2].startswith(" " * 80)
    assert max(map(cell_len, told)) <= 120


def test_in_a_pipe_a_row_is_a_line() -> None:
    assert len(lines(None)) == 2


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_variable_is_broken(width: int) -> None:
    rows = [
        (r.variable, r.value, r.unit, r.source, r.text) for r in describe(load_settings({}), {})
    ]
    told = list(
        table_lines(("Setting", "Value", "Unit", "Source", "Meaning"), rows, width=width, below=3)
    )
    assert {row[0] for row in rows} <= {line.split(" ")[0] for line in told}
    assert max(map(cell_len, told)) <= width


def test_an_empty_table_has_its_head() -> None:
    assert list(table_lines(("A", "B"), [], width=80, below=1)) == ["A  B"]
