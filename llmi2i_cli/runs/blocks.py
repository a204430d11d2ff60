"""Work on users in fixed blocks: resumable, shareable between processes, and the same bytes however it was shared.

Users are cut into blocks of a fixed size in their order. A block is computed from its users alone and written as one
Parquet file of the run's partial directory; its presence is its completion mark. Shard I of N takes every N-th block.
Whoever then finds that all blocks are there, and has the lock of `StageRun.publishing`, merges them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from llmi2i_cli.files.tables import Schema, sink_table, write_table
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.workdir import StageRun


@dataclass(frozen=True)
class BlockedTable:
    """An output ``NAME.parquet`` made in blocks: block b has the rows of `make(b)`, in the columns of `schema`."""

    name: str
    n_blocks: int
    make: Callable[[int], pl.DataFrame]
    schema: Schema

    def path(self, run: StageRun, block: int) -> Path:
        return run.partial / f"{self.name}-{block:06d}.parquet"


def publish_in_blocks(
    run: StageRun,
    tables: Sequence[BlockedTable],
    *,
    shards: int,
    shard: int,
    title: str,
    details: Callable[[], Mapping[str, Any]] = dict,
) -> dict[str, Any] | None:
    """Compute the blocks of one shard that are not there yet; with the last one, merge all and publish.

    Parameters
    ----------
    title : of the progress bar
    details : called when all is merged, for further entries of the manifest

    Returns
    -------
    the manifest, or None when other shards have not finished yet
    """
    for table in tables:
        mine = range(shard - 1, table.n_blocks, shards)
        with run.progress_bar(f"{title} ({table.name})", len(mine)) as bar:
            for block in mine:
                if not (path := table.path(run, block)).exists():
                    write_table(table.make(block), path, table.schema)
                bar.advance()
    with run.publishing() as published:
        if published:
            return published
        missing = sum(not table.path(run, block).exists() for table in tables for block in range(table.n_blocks))
        if missing:
            notice(f"{run.stage.name}: shard {shard} of {shards} is done, {missing} blocks of other shards are not")
            return None
        rows = {f"{table.name}.parquet": _merge(run, table) for table in tables}
        return run.publish(rows=rows, **details())


def _merge(run: StageRun, table: BlockedTable) -> int:
    """Write all blocks, in order, into one Parquet file, streaming; returns its rows."""
    empty = pl.DataFrame(schema=dict(table.schema)).lazy()
    parts = [pl.scan_parquet(table.path(run, block), glob=False) for block in range(table.n_blocks)]
    output = run.output(f"{table.name}.parquet")
    sink_table(pl.concat([empty, *parts]), output)
    return int(pl.scan_parquet(output, glob=False).select(pl.len()).collect().item())
