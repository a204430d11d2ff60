"""The rows of a table of neighbours in ranges of items: each range is a task, and its file the mark that it is done.

What the rows are ranked from is laid out as arrays in files. Every worker maps them into its memory, so that a machine
holds them once, however many of its processors are at work, and reads from the file server only what it needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.choices.loading import load
from llmi2i_cli.files.array_files import read_array, write_array
from llmi2i_cli.files.tables import Schema, write_table
from llmi2i_cli.i2i.best_rows import Rows
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.i2i.row_job import RowJob
from llmi2i_cli.i2i.slices import bounds_of_slices
from llmi2i_cli.runs.tasks import Runner, SentAsFields

STEPS_PER_RANGE = 2e8  # about a second on a processor: long beside a task's start, and a million rows are several tasks
ITEMS_PER_RANGE = 1 << 17  # so that a task's result takes little memory

RANGE: Schema = {"item": pl.Int32, "rank": pl.Int32, "neighbour": pl.Int32, "score": pl.Float32}


def rank_in_ranges(
    job: RowJob, folder: Path, runner: Runner, on_progress: Callable[[int, int], None] | None = None
) -> Neighbours:
    """All rows: what is not in `folder` yet is ranked by `runner` and put there.

    Parameters
    ----------
    folder : of this job alone; the same options and log give the same arrays, so those of a killed run are kept
    on_progress : called with (ranges done, ranges)
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in _leaves(job.arguments, "arguments"):
        write_array(folder / f"{name}.npy", value)
    write_array(folder / "item_order.npy", job.item_order)
    ranges = _ranges(job.costs)
    rank = _RankRange(folder, job.kernel, f"{type(job.arguments).__module__}:{type(job.arguments).__name__}", job.top_k)
    left = [each for each in ranges if not rank.path(each).exists()]
    n_done = itertools.count(len(ranges) - len(left) + 1)

    def on_done() -> None:
        if on_progress:
            on_progress(next(n_done), len(ranges))

    runner(rank, left, on_done)
    neighbours = Neighbours.empty(len(job.item_order), job.top_k)
    for each in ranges:
        found = pl.read_parquet(rank.path(each), glob=False)
        places = found["item"].to_numpy(), found["rank"].to_numpy() - 1
        neighbours.ids[places], neighbours.scores[places] = found["neighbour"].to_numpy(), found["score"].to_numpy()
    return neighbours


def _ranges(costs: NDArray[Any]) -> list[tuple[int, int]]:
    """First item and the one behind the last of each range; the costs alone decide, so a second run finds the same."""
    steps = costs + STEPS_PER_RANGE / ITEMS_PER_RANGE
    n_ranges = max(1, int(np.ceil(steps.sum() / STEPS_PER_RANGE)))
    return list(itertools.pairwise(bounds_of_slices(steps, n_ranges)))


@dataclass(frozen=True)
class _RankRange(SentAsFields):
    """What a task does: rank the rows of a range of the kernel's items and write them in the catalogue's numbers."""

    folder: Path
    kernel: str
    arguments_type: str
    top_k: int

    def __call__(self, items: tuple[int, int]) -> None:
        rows = self.every_row.of_range(*items, self.top_k)
        load(self.kernel)(*items, *self.arguments, rows)
        of_range, rank = np.nonzero(rows.ids != EMPTY)
        columns = {
            "item": rows.item_order[items[0] + of_range].astype(np.int32),
            "rank": (rank + 1).astype(np.int32),
            "neighbour": rows.ids[of_range, rank],
            "score": rows.scores[of_range, rank],
        }
        write_table(pl.DataFrame(columns), self.path(items), RANGE)

    def path(self, items: tuple[int, int]) -> Path:
        return self.folder / f"rows-{items[0]:010d}-{items[1]:010d}.parquet"

    @cached_property
    def arguments(self) -> Any:
        return _read_arguments(self.folder, load(self.arguments_type), "arguments")

    @cached_property
    def every_row(self) -> Rows:
        """With the order of ties, and no place for results yet."""
        return Rows.of(Neighbours.empty(0, self.top_k), read_array(self.folder / "item_order.npy"))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The arrays and numbers of a NamedTuple, by dotted names."""
    if not hasattr(value, "_fields"):
        yield name, value
        return
    for field, part in zip(value._fields, value, strict=True):
        yield from _leaves(part, f"{name}.{field}")


def _read_arguments(folder: Path, kind: Any, name: str) -> Any:
    """The inverse of writing `_leaves`: a value of the NamedTuple `kind`."""
    if not hasattr(kind, "_fields"):
        return read_array(folder / f"{name}.npy")
    hints = get_type_hints(kind)
    return kind(*(_read_arguments(folder, hints[field], f"{name}.{field}") for field in kind._fields))
