"""Pages of the documentation that are made from the program itself: its commands, and the tables between its stages.

`python -m tests.reference --write` writes them; a test holds that they are up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from llmi2i_cli.artifacts.schemas import COLUMNS, TABLES, Table
from llmi2i_cli.cli.app import app
from llmi2i_cli.files.columns import Column

DOCS = Path(__file__).parents[1] / "examples" / "docs"


def commands_page() -> str:
    """A heading, the help and a table of options for each command, in the order of `llmi2i --help`."""
    group: Any = typer.main.get_command(app)
    parts = [
        "# Commands",
        "",
        "`llmi2i COMMAND --help` shows the same in the terminal. `llmi2i --version` prints the version, and `--debug`,",
        "anywhere on the command line, shows a traceback when something fails.",
        "",
    ]
    for name, command in group.commands.items():
        summary, _, rest = (command.help or "").partition("\n")
        example = re.search(r"Example: (.*)", rest)
        parts += [f"## {name}", "", summary.strip(), ""]
        if example:
            parts += ["```bash", example.group(1).strip(), "```", ""]
        parts += ["| option | default | meaning |", "|---|---|---|"]
        parts += [_option_row(parameter) for parameter in command.params if parameter.name != "help"]
        parts.append("")
    return "\n".join(parts)


def _option_row(parameter: Any) -> str:
    spelled = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        spelled = f"`{parameter.metavar or parameter.name.upper()}`"
    meaning = (parameter.help or "").replace("|", "\\|")
    default, found = parameter.default, re.search(r" ?\[default: (.*?)\]$", meaning)
    if found:
        shown, meaning = found.group(1), meaning[: found.start()]
    elif isinstance(parameter.show_default, str):
        shown = parameter.show_default
    elif default is None or default is False or callable(default):
        shown = ""
    elif isinstance(default, list | tuple):
        shown = ", ".join(f"`{each}`" for each in default)
    else:
        shown = "yes" if default is True else f"`{default}`"
    return f"| {spelled} | {shown} | {meaning} |"


def artifacts_page() -> str:
    """The columns of every table between the stages, in the order in which these are written."""
    parts = [
        "# Tables",
        "",
        "Every table that a stage writes is a Parquet file in the work directory, and these are all of its columns,",
        "in this order. Ids are your own, as text. Numbers are finite, and a column has a value in every row unless",
        "it may be missing. A table that breaks one of these rules is an error where it is read, never another result.",
        "",
    ]
    for path, table in TABLES.items():
        parts += [f"## {path.replace('*', 'MODEL-DATA')}", ""]
        if table.key:
            parts += [f"One row per {' and '.join(f'`{name}`' for name in table.key)}.", ""]
        parts += ["| column | type | values | meaning |", "|---|---|---|---|", *_column_rows(table), ""]
    return "\n".join(parts)


def _column_rows(table: Table) -> Iterator[str]:
    for name, dtype in {**table.schema, **table.optional}.items():
        column = COLUMNS[name]
        about = f"{column.about}; only where the log has it" if name in table.optional else column.about
        yield f"| `{name}` | {dtype} | {_values(column)} | {about} |"


def _values(column: Column) -> str:
    bounded = column.values or column.low is not None
    return ", ".join(filter(None, (column.says if bounded else "", "may be missing" if column.nullable else "")))


PAGES = {"commands.md": commands_page, "tables.md": artifacts_page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        if "--write" in sys.argv:
            (DOCS / name).write_text(page(), encoding="utf-8")
        else:
            sys.stdout.write(page())
