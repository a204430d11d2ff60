"""The command `llmi2i simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmi2i_cli.cli.options import AsJson, Force, Seed
from llmi2i_cli.cli.printing import print_json


def simulate(
    out: Annotated[Path, typer.Argument(help="Directory to write; it holds nothing else.", file_okay=False)],
    users: Annotated[int, typer.Option(help="Number of users.", min=1)] = 4_500,
    items: Annotated[int, typer.Option(help="Number of items.", min=10)] = 4_000,
    interactions: Annotated[int, typer.Option(help="Number of interactions.", min=1)] = 32_000,
    noise: Annotated[
        float, typer.Option(help="Share of interactions with bestsellers, whoever the user is.", min=0, max=1)
    ] = 0.2,
    seed: Seed = 42,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a simulated log and its catalogue, of any size: OUT/interactions.parquet and OUT/items.parquet.

    Users like a few kinds of items and come in sessions, new items appear, some are bought again, and titles say a part
    of what they are. At the default sizes popularity, histories, titles and what models find are like in real logs.

    Example: llmi2i simulate shop --users 100000 --items 50000 --interactions 1000000
    """
    from llmi2i_cli.stages.simulate import simulate

    result = simulate(out, users=users, items=items, interactions=interactions, noise=noise, seed=seed, force=force)
    if as_json:
        print_json(result)
