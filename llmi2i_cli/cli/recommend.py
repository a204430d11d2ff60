"""The command `llmi2i recommend`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from llmi2i_cli.choices.rules import NO_RULES, RuleOptions
from llmi2i_cli.cli.declared import with_declared
from llmi2i_cli.cli.options import WORKDIR, AsJson, Data, I2IModel, Workdir, decay_option, recent_option
from llmi2i_cli.cli.printing import print_json, print_table
from llmi2i_cli.cli.printing_neighbours import print_comparison


@with_declared(RuleOptions)
def recommend(
    items: Annotated[list[str] | None, typer.Argument(metavar="ITEM", help="Recent items, oldest first.")] = None,
    workdir: Workdir = WORKDIR,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Instead: queries, one per line: a user id, or JSON, a list of items or {user_id, items}.",
            dir_okay=False,
        ),
    ] = None,
    item: Annotated[str | None, typer.Option(help="Instead: print this item's neighbours.")] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="With --item: the real log beside the fused one, and where neighbours come from."
        ),
    ] = False,
    model: I2IModel = "swing",
    data: Data = "real",
    top_n: Annotated[int, typer.Option(help="Items to print per query.", min=1)] = 10,
    recent: Annotated[
        str, typer.Option(help="M, how many recent items are looked up; auto: as evaluate has chosen, or 100.")
    ] = "auto",
    decay: Annotated[
        str, typer.Option(help="Weight of a recent item relative to the next newer one; auto: as in evaluate, or 1.")
    ] = "auto",
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen/--keep-seen", help="Leave out what is in the history.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="Write the ranked items to this .parquet, .csv or .jsonl.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
    **rules: Any,
) -> None:
    """Rank items for recent items or users, or show an item's neighbours, with titles.

    Example: llmi2i recommend ITEM1 ITEM2 -w work
    """
    from llmi2i_cli.stages.recommend import compared_neighbours_of, neighbours_of, recommend, write_answers

    if item is not None and (items or file or out):
        raise typer.BadParameter("--item stands alone: leave out the other items, --file and --out")
    if item is not None and ((recent, decay) != ("auto", "auto") or not exclude_seen):
        raise typer.BadParameter("--item shows a row of the table as it is: leave out --recent and the like")
    if out and as_json:
        raise typer.BadParameter("--out and --json both say where the answers go: leave out one of them")
    if compare and item is None:
        raise typer.BadParameter("--compare is for one item: add --item ITEM")
    if compare and RuleOptions(**rules) != NO_RULES:
        raise typer.BadParameter("--compare shows the tables as they were trained: leave out --allow and the like")
    if compare and item is not None:
        compared = compared_neighbours_of(workdir, item, model=model, top_n=top_n)
        if as_json:
            print_json(compared)
        else:
            print_comparison(compared)
        return
    asked: dict[str, Any] = {"model": model, "data": data, "top_n": top_n, "rules": RuleOptions(**rules)}
    if item is not None:
        answers = [{"items": neighbours_of(workdir, item, **asked)}]
    else:
        answers = recommend(
            workdir,
            items or (),
            file=file,
            **asked,
            recent=recent_option(recent),
            decay=decay_option(decay),
            exclude_seen=exclude_seen,
        )
    if out:
        write_answers(answers, out)
        return
    if as_json:
        print_json(answers if file else answers[0]["items"])
        return
    for answer in answers:
        rows = [
            (place, found["item_id"], found["title"], f"{found['score']:.6g}")
            for place, found in enumerate(answer["items"], start=1)
        ]
        title = f"neighbours of {item}" if item is not None else str(answer.get("user_id", ""))
        print_table(title, ("rank", "item_id", "title", "score"), rows, numeric=("rank", "score"))
