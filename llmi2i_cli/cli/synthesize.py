"""The command `llmi2i synthesize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from llmi2i_cli.choices.methods import DEFAULT, METHODS
from llmi2i_cli.cli.options import WORKDIR, AsJson, Attention, Force, Ray, Shard, Shards, Workdir
from llmi2i_cli.cli.printing import print_manifest


def synthesize(
    workdir: Workdir = WORKDIR,
    method: Annotated[
        Literal[*METHODS],  # type: ignore[valid-type]
        typer.Option(help="; ".join(f"{row.name}: {row.about}" for row in METHODS.values()) + "."),
    ] = DEFAULT,
    history: Annotated[int, typer.Option(help="Most recent interactions that the generator is shown.", min=1)] = 10,
    recall_number: Annotated[int, typer.Option(help="Candidates per user.", min=1)] = 30,
    only_users: Annotated[
        Path | None, typer.Option(help="File of user ids, one per line: only they get candidates.", dir_okay=False)
    ] = None,
    shards: Shards = 1,
    shard: Shard = 1,
    ray: Ray = None,
    attention: Attention = "auto",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Let the generator propose items for every user.

    Example: llmi2i synthesize -w work --recall-number 30 --shards 8 --shard 1
    """
    from llmi2i_cli.stages.synthesize import synthesize

    manifest = synthesize(
        workdir,
        method=method,
        history=history,
        recall_number=recall_number,
        only_users=only_users,
        shards=shards,
        shard=shard,
        ray=ray,
        attention=attention,
        force=force,
    )
    print_manifest(manifest, as_json)
