"""Rankings by an index as tasks: a block of users at one lookup is ranked by whoever does it, into a file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.evaluation.retrieve import Rankings, retrieve
from llmi2i_cli.files.array_files import read_array, write_array
from llmi2i_cli.files.tables import write_table
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.runs.tasks import Runner, SentAsFields

USERS_PER_BLOCK = 1 << 16


class _Block(NamedTuple):
    """A task: rank for the users first .. last - 1 at lookup `number`, (M, decay)."""

    number: int
    recent: int
    decay: float
    first: int
    last: int


class RetrievalTasks:
    """`retrieve.rank_by_lookups`, with the ranking done by a runner.

    `folder` takes the arrays that the tasks read, and their results; it is of no use afterwards.
    """

    def __init__(self, folder: Path, runner: Runner) -> None:
        self._folder, self._runner = folder, runner
        self._calls = itertools.count()

    def __call__(
        self,
        neighbours: Neighbours,
        queries: Histories,
        lookups: Sequence[tuple[int, float]],
        *,
        top_n: int,
        exclude_seen: bool,
    ) -> Iterator[Rankings]:
        rank = _RankBlock(self._folder / str(next(self._calls)), top_n, exclude_seen)
        rank.lay_out(neighbours, queries)
        starts = range(0, queries.n_users, USERS_PER_BLOCK)
        blocks = [
            [_Block(number, recent, decay, first, min(first + USERS_PER_BLOCK, queries.n_users)) for first in starts]
            for number, (recent, decay) in enumerate(lookups)
        ]
        self._runner(rank, list(itertools.chain.from_iterable(blocks)), lambda: None)
        return map(rank.read, blocks)


@dataclass(frozen=True)
class _RankBlock(SentAsFields):
    """What a task does."""

    folder: Path
    top_n: int
    exclude_seen: bool

    def lay_out(self, neighbours: Neighbours, queries: Histories) -> None:
        self.folder.mkdir(parents=True)
        for name, array in (
            ("ids", neighbours.ids),
            ("scores", neighbours.scores),
            ("ptr", queries.ptr),
            ("items", queries.items),
        ):
            write_array(self.folder / f"{name}.npy", array)

    @cached_property
    def neighbours(self) -> Neighbours:
        return Neighbours(read_array(self.folder / "ids.npy"), read_array(self.folder / "scores.npy"))

    @cached_property
    def queries(self) -> Histories:
        return Histories(
            read_array(self.folder / "ptr.npy"), read_array(self.folder / "items.npy"), self.neighbours.n_items
        )

    def __call__(self, block: _Block) -> None:
        queries = self.queries.take(np.arange(block.first, block.last))
        found = retrieve(
            self.neighbours,
            queries,
            recent=block.recent,
            top_n=self.top_n,
            exclude=queries if self.exclude_seen else None,
            decay=block.decay,
        )
        columns = {"ids": found.ids, "scores": found.scores, "n_retrieved": found.n_retrieved}
        write_table(pl.DataFrame(columns), self._path(block))

    def read(self, blocks: Sequence[_Block]) -> Rankings:
        """The rankings of all users at one lookup."""
        parts = [pl.read_parquet(self._path(block), glob=False) for block in blocks]
        columns = [
            np.concatenate([part[name].to_numpy() for part in parts]) for name in ("ids", "scores", "n_retrieved")
        ]
        return Rankings(*columns)

    def _path(self, block: _Block) -> Path:
        return self.folder / f"lookup-{block.number:03d}-{block.first:010d}.parquet"
