"""The command `llmi2i status`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmi2i_cli.cli.options import WORKDIR, AsJson, Workdir
from llmi2i_cli.cli.printing import print_json, print_table


def status(
    workdir: Workdir = WORKDIR,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the contents of all files, not only their sizes and times.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which stages are done, running (and how far), stale (and why), interrupted or missing.

    Example: llmi2i status -w work
    """
    from llmi2i_cli.stages.status import status

    rows = status(workdir, verify=verify)
    if as_json:
        print_json(rows)
        return
    columns = ("stage", "variant", "state", "why", "rows", "seconds")
    print_table(str(workdir), columns, [[row[c] for c in columns] for row in rows], numeric=("rows", "seconds"))
