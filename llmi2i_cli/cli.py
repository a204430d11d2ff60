"""The commands in pipeline order, thin: types, help and one call each. Nothing heavy is imported here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

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
def prepare(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Log files, or directories of them.")],
    workdir: Workdir = WORKDIR,
    format: Annotated[
        Literal["auto", "sequences", "amazon", "csv", "jsonl", "parquet", "recbole"],
        typer.Option(help="Format of the inputs; auto tells it by names and contents. All but Parquet may be gzipped."),
    ] = "auto",
    items: Annotated[
        list[Path] | None, typer.Option(help="Catalogue: item_id, title and other columns, any format. Repeatable.")
    ] = None,
    users: Annotated[
        list[Path] | None, typer.Option(help="Users: user_id and profile, or any columns, any format. Repeatable.")
    ] = None,
    user_column: Annotated[str | None, typer.Option(help="Column of user ids. [default: user_id and the like]")] = None,
    item_column: Annotated[str | None, typer.Option(help="Column of item ids. [default: item_id and the like]")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column of times. [default: timestamp and the like]")] = None,
    time_unit: Annotated[
        Literal["auto", "s", "ms", "us", "ns"],
        typer.Option(help="What numeric times count since 1970, for last-day; auto tells it by their size."),
    ] = "auto",
    split: Annotated[
        Literal["leave-last-two", "last-day", "none"],
        typer.Option(help="Hold out each user's last two interactions, or the log's last two days (UTC), or nothing."),
    ] = "leave-last-two",
    eval_users: Annotated[
        int | None,
        typer.Option(help="Held-out interactions of this many random users a day, for last-day.", min=1),
    ] = None,
    min_user_items: Annotated[int, typer.Option(help="k-core: different items a user has at least.", min=0)] = 0,
    min_item_users: Annotated[int, typer.Option(help="k-core: different users an item has at least.", min=0)] = 0,
    max_user_items: Annotated[int, typer.Option(help="Most recent interactions kept of a user.", min=1)] = 1000,
    tail_max_count: Annotated[
        int, typer.Option(help="Long tail in reports: items with at most this many interactions in all.", min=0)
    ] = 5,
    tail_fraction: Annotated[
        float, typer.Option(help="Long tail in training: this share of the items, the least bought.", min=0, max=1)
    ] = 0.2,
    bucket_mib: Annotated[
        int, typer.Option(help="MiB of text worked on at a time; lower it when memory is short.", min=1)
    ] = 512,
    seed: Seed = 42,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Read logs, clean and split them, mark the long tail.

    Example: llmi2i prepare clicks.csv --items catalogue.csv -w work
    """
    from llmi2i_cli.stages.prepare import prepare

    summary = prepare(
        inputs,
        workdir=workdir,
        format=format,
        items=items or (),
        users=users or (),
        user_column=user_column,
        item_column=item_column,
        time_column=time_column,
        time_unit=time_unit,
        split=split,
        eval_users=eval_users,
        min_user_items=min_user_items,
        min_item_users=min_item_users,
        max_user_items=max_user_items,
        tail_max_count=tail_max_count,
        tail_fraction=tail_fraction,
        bucket_mib=bucket_mib,
        seed=seed,
        force=force,
    )
    if as_json:
        _print_json(summary)
        return
    from llmi2i_cli.tables import print_table

    shown = {**summary, "density": f"{summary['density']:.3%}", "long_tail_share": f"{summary['long_tail_share']:.1%}"}
    rows = [(name.replace("_", " "), value) for name, value in shown.items() if name != "up_to_date"]
    print_table(str(workdir / "prepare"), ("", "value"), rows, numeric=("value",))


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Directory to write, of its own.", file_okay=False)],
    users: Annotated[int, typer.Option(help="Number of users.", min=1)] = 10_000,
    items: Annotated[int, typer.Option(help="Number of items.", min=10)] = 2_000,
    interactions: Annotated[int, typer.Option(help="Number of interactions.", min=1)] = 100_000,
    noise: Annotated[
        float, typer.Option(help="Share of interactions that have nothing to do with the user.", min=0, max=1)
    ] = 0.1,
    seed: Seed = 42,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a simulated log and its catalogue, of any size: OUT/interactions.parquet and OUT/items.parquet.

    Example: llmi2i simulate shop --users 10000 --items 2000 --interactions 100000
    """
    from llmi2i_cli.stages.simulate import simulate

    result = simulate(out, users=users, items=items, interactions=interactions, noise=noise, seed=seed, force=force)
    if as_json:
        _print_json(result)


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
