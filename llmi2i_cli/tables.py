"""Results as tables on the terminal (stdout), for people; `--json` is for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numeric: Sequence[str] = ()
) -> None:
    """Print a table on stdout; columns named in `numeric` are aligned to the right. None shows as an empty cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else _format(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:  # a pipe or a file gets whole lines, not 80 columns
        console = Console(width=200)
    console.print(table)


def _format(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
