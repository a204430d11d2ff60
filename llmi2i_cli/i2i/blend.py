"""Several models' tables as one: a weighted sum of their scores, each table on the scale of its rows' best scores.

    s(i, j) = sum over parts p of weight_p s_p(i, j) / scale_p,   scale_p = the mean of the highest scores of p's rows

What comes out is one table like any other. A neighbour that a part does not list has 0 from it; items that nobody
bought get a row, and stand in rows, by the parts that know them (their text).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.choices.blends import weights_of
from llmi2i_cli.choices.model_options import BlendOptions
from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.best_rows import Rows, write_best
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.i2i.slices import run_slices
from llmi2i_cli.i2i.training import Job, Trained


def train(job: Job, options: BlendOptions) -> Trained:
    """The row of `choices.models`: the tables of `job.parts`, in their order."""
    return Trained(blend_neighbours(job.parts, weights_of(options.parts, options.weights), top_k=job.top_k))


def blend_neighbours(parts: Sequence[Neighbours], weights: Sequence[float], *, top_k: int) -> Neighbours:
    """The `top_k` neighbours of each item with the largest weighted sum; sums are float64 in the parts' order."""
    n_items = parts[0].n_items
    ids = np.concatenate([part.ids for part in parts], axis=1)  # (n_items, sum of k)
    scores = np.concatenate(
        [part.scores * (weight / scale_of(part)) for part, weight in zip(parts, weights, strict=True)], axis=1
    )
    neighbours = Neighbours.empty(n_items, top_k)
    rows = Rows.of(neighbours, np.arange(n_items))
    for _ in run_slices(_sum_rows, np.full(n_items, ids.shape[1]), ids, scores, rows):
        pass
    return neighbours


def scale_of(part: Neighbours) -> float:
    """The mean of the rows' highest scores, over rows with neighbours; 1 for a table without any."""
    highest = part.scores.max(axis=1, initial=0).astype(np.float64)
    return float(highest[highest > 0].mean()) if (highest > 0).any() else 1.0


@compiled()
def _sum_rows(first_item: int, last_item: int, ids: NDArray[np.int32], scores: NDArray[np.float64], rows: Rows) -> None:
    """Sum what the parts say of the neighbours of first_item .. last_item - 1 and write the best."""
    totals = np.zeros(len(ids), np.float64)
    touched = np.empty(ids.shape[1], np.int32)
    for item in range(first_item, last_item):
        n_touched = 0
        for place in range(ids.shape[1]):
            other = ids[item, place]
            if other != EMPTY and scores[item, place] > 0:
                if totals[other] == 0:
                    touched[n_touched] = other
                    n_touched += 1
                totals[other] += scores[item, place]
        write_best(item, totals, touched[:n_touched], rows)
