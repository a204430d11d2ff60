"""Results on stdout: as tables for people, as JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from llmi2i_cli.errors import OutputError
from llmi2i_cli.runs.terminal import shown


@contextmanager
def on_stdout() -> Iterator[None]:
    """What the block prints is written at its end. OutputError if it cannot be; BrokenPipeError if nobody reads it."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        give_up_stdout()
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"the results cannot be written to stdout: {error.strerror}") from error


def give_up_stdout() -> None:
    """Let what is still to be written go nowhere, so that Python's own flush at the end does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(result: Any) -> None:
    """Print one document on one line; in ASCII where stdout cannot have all characters."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    with on_stdout():
        sys.stdout.write(json.dumps(result, ensure_ascii=not is_unicode) + "\n")


def print_manifest(manifest: dict[str, Any] | None, as_json: bool) -> None:
    """What a stage did: its manifest as JSON, or the rows that it wrote and what it chose as a table."""
    if as_json:
        print_json(manifest)
        return
    if manifest is None:  # another shard will finish the stage
        return
    from llmi2i_cli.runs.manifests import MANIFEST_KEYS

    rows: list[tuple[str, Any]] = [
        (f"rows of {name}", entry["rows"]) for name, entry in manifest["outputs"].items() if "rows" in entry
    ]
    for key, value in manifest.items():
        if key not in MANIFEST_KEYS:
            parts = value.items() if isinstance(value, dict) else [("", value)]
            rows += [(f"{key} {name}".strip().replace("_", " "), part) for name, part in parts]
    rows.append(("seconds", manifest["seconds"]))
    print_table(manifest["stage"], ("", "value"), rows, numeric=("value",))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numeric: Sequence[str] = ()
) -> None:
    """Print a table on stdout; columns named in `numeric` are aligned to the right. None shows as an empty cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def text(cell: Any) -> Text:
        """Plain text, in which brackets are no markup and control characters are shown."""
        return Text("" if cell is None else shown(_format(cell)))

    table = Table(title=text(title), title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(text(column), justify="right" if column in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(text, row))
    console = Console()
    if not console.is_terminal:  # a pipe or a file gets whole lines, not 80 columns
        console = Console(width=200)
    with on_stdout():
        console.print(table)


def _format(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):  # --json has all digits
        return f"{cell:,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    if isinstance(cell, Mapping):
        return ", ".join(f"{name} {_format(value)}" for name, value in cell.items())
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
