"""The rows of a similarity matrix as work that can be shared out: each is ranked by itself, from the same arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.choices.loading import load
from llmi2i_cli.i2i.best_rows import Rows
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.slices import run_slices

RankRows = Callable[["RowJob"], Neighbours]


@dataclass(frozen=True)
class RowJob:
    """What a kernel ranks rows from.

    Attributes
    ----------
    kernel : dotted path of a compiled function ``(first item, last item, *arguments, rows)``, which writes these rows
    arguments : a NamedTuple of arrays, numbers and NamedTuples of such
    costs : of each row, in steps, float64 or int64 (n_items,)
    item_order : int64 (n_items,), the catalogue index of each of the kernel's items
    top_k : neighbours per item
    """

    kernel: str
    arguments: Any
    costs: NDArray[Any]
    item_order: NDArray[np.int64]
    top_k: int


def rank_rows(job: RowJob, on_progress: Callable[[int, int], None] | None = None) -> Neighbours:
    """All rows, on the threads of this process.

    Parameters
    ----------
    on_progress : called with (done, total) in units of work
    """
    neighbours = Neighbours.empty(len(job.item_order), job.top_k)
    rows = Rows.of(neighbours, job.item_order)
    total = int(job.costs.sum())
    for share in run_slices(load(job.kernel), job.costs, *job.arguments, rows):
        if on_progress:
            on_progress(round(share * total), total)
    return neighbours
