"""The command `llmi2i prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from llmi2i_cli.choices.formats import AUTO, FORMATS
from llmi2i_cli.cli.options import WORKDIR, AsJson, Force, Seed, Workdir
from llmi2i_cli.cli.printing import print_json, print_table


def prepare(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Log files, or directories of them (RecBole's with .item and .user)."),
    ],
    workdir: Workdir = WORKDIR,
    format: Annotated[
        Literal[AUTO, *FORMATS],  # type: ignore[valid-type]
        typer.Option(
            help="Format of the logs; auto tells it by names and contents; "
            + "; ".join(f"{row.name}: {row.about}" for row in FORMATS.values())
            + ". Text may be gzipped."
        ),
    ] = AUTO,
    items: Annotated[
        list[Path] | None, typer.Option(help="Catalogue: item_id, title and other columns, any format. Repeatable.")
    ] = None,
    users: Annotated[
        list[Path] | None, typer.Option(help="Users: user_id and profile, or any columns, any format. Repeatable.")
    ] = None,
    user_column: Annotated[str | None, typer.Option(help="Column of user ids; by default user_id or the like.")] = None,
    item_column: Annotated[str | None, typer.Option(help="Column of item ids; by default item_id or the like.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column of times; by default timestamp or the like.")] = None,
    time_unit: Annotated[
        Literal["auto", "s", "ms", "us", "ns"],
        typer.Option(help="What numeric times count since 1970, for last-day; auto tells it by their size."),
    ] = "auto",
    split: Annotated[
        Literal["leave-last-two", "last-day", "none"],
        typer.Option(help="Hold out each user's last two interactions, or the log's last two days (UTC), or nothing."),
    ] = "leave-last-two",
    to_split: Annotated[
        Literal["train", "valid", "test"],
        typer.Option(help="Train takes in all up to this split: valid leaves test held out, test leaves nothing."),
    ] = "train",
    eval_users: Annotated[
        int | None,
        typer.Option(help="Held-out interactions of this many random users a day, for last-day.", min=1),
    ] = None,
    min_user_items: Annotated[int, typer.Option(help="k-core: different items a user has at least.", min=0)] = 0,
    min_item_users: Annotated[int, typer.Option(help="k-core: different users an item has at least.", min=0)] = 0,
    max_user_items: Annotated[int, typer.Option(help="Most recent interactions kept of a user.", min=1)] = 1000,
    tail_max_count: Annotated[
        int, typer.Option(help="Long tail in reports: items with one to this many interactions in all.", min=0)
    ] = 5,
    tail_fraction: Annotated[
        float,
        typer.Option(
            help="Long tail in training: this share of the bought items, the least bought (and the never bought).",
            min=0,
            max=1,
        ),
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
        to_split=to_split,
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
        print_json(summary)
        return
    shown = {**summary, "density": f"{summary['density']:.3%}", "long_tail_share": f"{summary['long_tail_share']:.1%}"}
    rows = [(name.replace("_", " "), value) for name, value in shown.items() if name != "up_to_date"]
    print_table(str(workdir / "prepare"), ("", "value"), rows, numeric=("value",))
