"""Work on users in fixed blocks: resumable, shareable between processes, and the same bytes however it was shared.

Users are cut into blocks of a fixed size in their order. A block is computed from its users alone and written as one
Parquet file of the run's partial directory; its presence is its completion mark. Shard I of N takes every N-th block.
A runner (`tasks`) does them.
Whoever then finds that all blocks are there, and has the lock of `StageRun.publishing`, merges them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from llmi2i_cli.files.tables import Schema, sink_blocks, sink_table, write_table
from llmi2i_cli.runs.progress import notice
from llmi2i_cli.runs.tasks import Runner, here
from llmi2i_cli.runs.workdir import StageRun

QUESTIONS: Schema = {"user_id": pl.String, "question": pl.UInt64}


@dataclass(frozen=True)
class BlockedTable:
    """An output ``NAME.parquet`` made in blocks: block b has the rows of `make(b)`, in the columns of `schema`.

    `make` is sent to whoever does the blocks: a function of a module, or a method of what can be sent.
    With `with_questions` the rows have one more column, ``question``, which ``questions.parquet`` gets once per user.
    """

    name: str
    n_blocks: int
    make: Callable[[int], pl.DataFrame]
    schema: Schema
    with_questions: bool = False

    @property
    def block_schema(self) -> Schema:
        return {**self.schema, "question": pl.UInt64} if self.with_questions else self.schema

    def path(self, partial: Path, block: int) -> Path:
        return partial / f"{self.name}-{block:06d}.parquet"


@dataclass(frozen=True)
class _Block:
    """A task: block `number` of table `table` of those at hand."""

    table: int
    number: int


@dataclass(frozen=True)
class _WriteBlock:
    """What a task does."""

    tables: Sequence[BlockedTable]
    partial: Path

    def __call__(self, block: _Block) -> None:
        table = self.tables[block.table]
        write_table(table.make(block.number), table.path(self.partial, block.number), table.block_schema)


def publish_in_blocks(
    run: StageRun,
    tables: Sequence[BlockedTable],
    *,
    shards: int,
    shard: int,
    title: str,
    details: Callable[[], Mapping[str, Any]] = dict,
    runner: Runner = here,
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
    partial = run.partial.resolve()
    mine = [
        _Block(place, number)
        for place, table in enumerate(tables)
        for number in range(shard - 1, table.n_blocks, shards)
    ]
    left = [block for block in mine if not tables[block.table].path(partial, block.number).exists()]
    with run.progress_bar(title, len(mine)) as bar:
        bar.advance(len(mine) - len(left))
        runner(_WriteBlock(tables, partial), left, bar.advance)
    with run.publishing() as published:
        if published:
            return published
        missing = sum(not table.path(partial, block).exists() for table in tables for block in range(table.n_blocks))
        if missing:
            notice(f"{run.stage.name}: shard {shard} of {shards} is done, {missing} blocks of other shards are not")
            return None
        rows = {f"{table.name}.parquet": _merge(run, table) for table in tables}
        return run.publish(rows=rows, **details())


def _merge(run: StageRun, table: BlockedTable) -> int:
    """Write all blocks, in order, into one Parquet file, streaming; returns its rows."""
    empty = pl.DataFrame(schema=dict(table.schema)).lazy()
    paths = [table.path(run.partial, block) for block in range(table.n_blocks)]
    parts = [pl.scan_parquet(path, glob=False).select(list(table.schema)) for path in paths]
    output = run.output(f"{table.name}.parquet")
    sink_table(pl.concat([empty, *parts]), output)
    if table.with_questions:
        sink_blocks(lambda: map(_questions, paths), run.output("questions.parquet"), QUESTIONS)
    return int(pl.scan_parquet(output, glob=False).select(pl.len()).collect().item())


def _questions(path: Path) -> pl.DataFrame:
    """What the model was asked about each user of a block."""
    asked = pl.read_parquet(path, columns=list(QUESTIONS), glob=False)
    return asked.unique("user_id", keep="first", maintain_order=True)
