"""Work on users in fixed blocks: resumable, shareable between processes, and the same bytes however it was shared.

Users are cut into blocks of a fixed size in their order. A block is computed from its users alone and written as one
Parquet file of the run's partial directory; its presence is its completion mark. Shard I of N takes every N-th block.
Whoever then finds that all blocks are there, and has the lock of `StageRun.publishing`, merges them in order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from llmi2i_cli.artifacts import Schema, sink_table, write_table
from llmi2i_cli.progress import ProgressBar
from llmi2i_cli.workdir import StageRun

ROWS_PER_GROUP = 1 << 18


def compute_blocks(
    run: StageRun,
    name: str,
    n_blocks: int,
    make: Callable[[int], pl.DataFrame],
    schema: Schema,
    *,
    shards: int,
    shard: int,
    bar: ProgressBar,
) -> None:
    """Compute the blocks of one shard that are not there yet."""
    mine = range(shard - 1, n_blocks, shards)
    for done, block in enumerate(mine, start=1):
        path = _path(run, name, block)
        if not path.exists():
            write_table(make(block), path, schema)
        bar.update(done, len(mine))


def missing_blocks(run: StageRun, name: str, n_blocks: int) -> list[int]:
    """Blocks that are still to be done, by this shard or by others."""
    return [block for block in range(n_blocks) if not _path(run, name, block).exists()]


def merge_blocks(run: StageRun, name: str, n_blocks: int, schema: Schema, output: Path) -> int:
    """Write all blocks, in order, into one Parquet file, streaming; returns its rows."""
    empty = pl.DataFrame(schema=dict(schema)).lazy()
    parts = [pl.scan_parquet(_path(run, name, block), glob=False) for block in range(n_blocks)]
    sink_table(pl.concat([empty, *parts]), output, row_group_size=ROWS_PER_GROUP)
    return int(pl.scan_parquet(output, glob=False).select(pl.len()).collect().item())


def _path(run: StageRun, name: str, block: int) -> Path:
    return run.partial / f"{name}-{block:06d}.parquet"
