"""The last step of a model that sums scores row by row: the best neighbours of one item go to the result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.neighbours import Neighbours, ranking_key, tie_rank_of_key, tie_ranks
from llmi2i_cli.i2i.selection import keep_largest


class Rows(NamedTuple):
    """Where rows go when the model has an order of items of its own.

    Attributes
    ----------
    item_order : int64 (n_items,), catalogue index of each of the model's items
    places : int64 (n_items,), the row in `ids` and `scores` of each of the model's items
    tie_ranks : int32 (n_items,), of the model's items
    item_of_rank : int64 (n_items,), the inverse
    ids, scores : int32 and float32 (n_rows, k)
    """

    item_order: NDArray[np.int64]
    places: NDArray[np.int64]
    tie_ranks: NDArray[np.int32]
    item_of_rank: NDArray[np.int64]
    ids: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, neighbours: Neighbours, item_order: NDArray[np.int64]) -> Rows:
        """The rows of `neighbours`, for a model whose items are in `item_order`."""
        ranks = tie_ranks(len(item_order))[item_order]
        return cls(item_order, item_order, ranks, np.argsort(ranks), neighbours.ids, neighbours.scores)

    def of_range(self, first: int, last: int, k: int) -> Rows:
        """Rows of their own for the model's items first .. last - 1 alone, in this order."""
        some = Neighbours.empty(last - first, k)
        places = np.empty(len(self.item_order), np.int64)  # what is not written to takes no memory
        places[first:last] = np.arange(last - first)
        return self._replace(places=places, ids=some.ids, scores=some.scores)


@compiled()
def write_best(item: int, totals: NDArray[np.float64], touched: NDArray[np.int32], rows: Rows) -> None:
    """Write the row of `item`: the positive totals, best first, its own left out. Resets `totals` to 0.

    Parameters
    ----------
    totals : float64 (n_items,), scores of the other items, 0 but for those in `touched`
    touched : int32 (n,), distinct items
    """
    k = rows.ids.shape[1]
    keys = np.empty(min(2 * k, len(touched) + 1), np.uint64)
    n = 0
    floor = ranking_key(0, 0)  # the keys of the best k are above it
    totals[item] = 0
    for other in touched:
        key = ranking_key(totals[other], rows.tie_ranks[other])
        keys[n] = key  # overwritten unless it counts: a branch would be mispredicted half of the time
        n += key > floor
        if n == 2 * k:
            keep_largest(keys, n, k)
            floor = keys[k - 1]
            n = k
    if n > k:
        keep_largest(keys, n, k)
        n = k
    best = np.sort(keys[:n])[::-1]
    place = rows.places[item]
    for rank in range(n):
        other = rows.item_of_rank[tie_rank_of_key(best[rank])]
        rows.ids[place, rank] = rows.item_order[other]
        rows.scores[place, rank] = totals[other]
    for other in touched:
        totals[other] = 0
