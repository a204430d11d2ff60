"""The command `llmi2i report`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from llmi2i_cli.choices.models import MODELS
from llmi2i_cli.cli.options import WORKDIR, AsJson, Force, Workdir
from llmi2i_cli.cli.printing import on_stdout, print_json


def report(
    workdir: Workdir = WORKDIR,
    model: Annotated[
        Literal[*MODELS] | None,  # type: ignore[valid-type]
        typer.Option(help="Whose neighbours are shown, real and fused.", show_default="what was evaluated"),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write one HTML page about a work directory: results, plots, and twenty items with their neighbours.

    Example: llmi2i report -w work
    """
    from llmi2i_cli.stages.report import report

    manifest = report(workdir, model=model, force=force)
    if as_json:
        print_json(manifest)
        return
    with on_stdout():
        sys.stdout.write(f"{workdir / 'report' / 'report.html'}\n")
