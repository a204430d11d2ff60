"""The command `llmi2i filter`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmi2i_cli.cli.options import WORKDIR, AsJson, Force, Ray, Shard, Shards, Workdir
from llmi2i_cli.cli.printing import print_manifest


def filter_candidates(
    workdir: Workdir = WORKDIR,
    min_confidence: Annotated[
        float,
        typer.Option(help="P(Yes) from which `keep` is set; a tuned fuse chooses its own.", min=0, max=1),
    ] = 0.5,
    include_real: Annotated[bool, typer.Option("--include-real", help="Judge the train interactions as well.")] = False,
    shards: Shards = 1,
    shard: Shard = 1,
    ray: Ray = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Let the discriminator judge the candidates; all of them stay, and `keep` marks the good ones.

    Example: llmi2i filter -w work --min-confidence 0.5
    """
    from llmi2i_cli.stages.filter import filter_candidates

    manifest = filter_candidates(
        workdir,
        min_confidence=min_confidence,
        include_real=include_real,
        shards=shards,
        shard=shard,
        ray=ray,
        force=force,
    )
    print_manifest(manifest, as_json)
