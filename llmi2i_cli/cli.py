"""The commands in pipeline order, thin: types, help and one call each. Nothing heavy is imported here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from llmi2i_cli import __version__

app = typer.Typer(
    name="llmi2i",
    help="Better item-to-item recommenders from the same log: one LLM generates interactions, another keeps the good.",
    epilog="Stages run in the order above, on files in --workdir. Each does nothing when its result is up to date.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Workdir = Annotated[
    Path,
    typer.Option("--workdir", "-w", envvar="LLMI2I_WORKDIR", help="Directory of all artifacts.", file_okay=False),
]
Seed = Annotated[int, typer.Option(help="Seed of everything random; same seed and inputs, same bytes.", min=0)]
Force = Annotated[bool, typer.Option("--force", help="Run although the result is up to date.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]

WORKDIR = Path("work")


def _print_json(result: Any) -> None:
    sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"llmi2i {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options of the program itself; `--debug` is taken out of the arguments by `__main__`, anywhere it stands."""


# --- commands, in pipeline order; each example is run by the tests ---------------------------------------------------


@app.command()
def status(workdir: Workdir = WORKDIR, as_json: AsJson = False) -> None:
    """Show which stages are done, stale (and why) or missing.

    Example: llmi2i status -w work
    """
    from llmi2i_cli.stages.status import status

    rows = status(workdir)
    if as_json:
        _print_json(rows)
        return
    from llmi2i_cli.tables import print_table

    columns = ("stage", "variant", "state", "why", "rows", "seconds")
    print_table(str(workdir), columns, [[row[c] for c in columns] for row in rows], numeric=("rows", "seconds"))
