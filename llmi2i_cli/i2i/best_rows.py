"""The last step of a model that sums scores row by row: the best neighbours of one item go to the result."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from llmi2i_cli.i2i.neighbours import ranking_key
from llmi2i_cli.i2i.selection import offer, sort_descending


@njit(cache=True)
def write_best(
    item: int,
    totals: NDArray[np.float64],
    touched: NDArray[np.int32],
    item_order: NDArray[np.int64],
    tie_ranks: NDArray[np.int32],
    ids: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Write the row of `item` in `ids` and `scores`: the positive totals, best first, its own left out.

    Parameters
    ----------
    totals : float64 (n_items,), scores of the other items, 0 but for those in `touched`; reset to 0
    touched : int32 (n,), distinct items
    item_order : int64 (n_items,), catalogue index of each item; `ids` and `scores`, (n_items, k), are in its order
    tie_ranks : int32 (n_items,), of the catalogue's items but in the order of `item_order`
    """
    k = ids.shape[1]
    keys = np.empty(k, np.uint64)
    best = np.empty(k, np.int32)
    size = 0
    for other in touched:
        score = np.float32(totals[other])
        if score <= 0 or other == item:
            continue
        if size == k and ranking_key(score, 0) < keys[0]:
            continue  # most of a long row: not even the best tie rank would do
        size = offer(keys, best, size, ranking_key(score, tie_ranks[other]), other)
    sort_descending(keys, best, size)
    row = item_order[item]
    for n in range(size):
        ids[row, n] = item_order[best[n]]
        scores[row, n] = totals[best[n]]
    for other in touched:
        totals[other] = 0
