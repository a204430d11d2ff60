"""The command `llmi2i prepare`; its options come from the steps' own."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmi2i_cli.choices.preparation import STEPS, PrepareOptions
from llmi2i_cli.cli.declared import given_of, with_declared
from llmi2i_cli.cli.options import WORKDIR, AsJson, Force, Workdir
from llmi2i_cli.cli.printing import print_json, print_table
from llmi2i_cli.errors import UsageError


@with_declared(*STEPS.values())
def prepare(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Logs: files, directories (RecBole's, too), quoted patterns, URLs (s3://, gs://, abfs://).",
        ),
    ],
    workdir: Workdir = WORKDIR,
    items: Annotated[
        list[str] | None, typer.Option(help="Catalogue: item_id, title and other columns, any format. Repeatable.")
    ] = None,
    users: Annotated[
        list[str] | None, typer.Option(help="Users: user_id and profile, or any columns, any format. Repeatable.")
    ] = None,
    valid: Annotated[
        list[str] | None,
        typer.Option(help="Log that is held out for validation; INPUT is for training. Repeatable."),
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="Log that is held out as test; INPUT is for training. Repeatable.")
    ] = None,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add INPUT to the logs of the last run, which are not read again; its options hold.",
        ),
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Read logs, clean and split them, mark the long tail.

    Example: llmi2i prepare clicks.csv --items catalogue.csv -w work
    """
    from llmi2i_cli.stages import prepare as stage

    if append and (valid or test):
        raise UsageError("--append has no files for --valid and --test: run prepare with all files, without --append")
    both: dict[str, Any] = {"workdir": workdir, "items": items or (), "users": users or (), "force": force}
    if append:
        summary = stage.append(inputs, **both, given=given_of(context, options))
    else:
        asked = PrepareOptions.from_flat(options)
        summary = stage.prepare(inputs, **both, valid=valid or (), test=test or (), options=asked)
    if as_json:
        print_json(summary)
        return
    shown = {**summary, "density": f"{summary['density']:.3%}", "long_tail_share": f"{summary['long_tail_share']:.1%}"}
    rows = [(name.replace("_", " "), value) for name, value in shown.items() if name != "up_to_date"]
    print_table(str(workdir / "prepare"), ("", "value"), rows, numeric=("value",))
