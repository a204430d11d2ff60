"""For each item the K others with the largest product of sparse vectors: the kernel of BM25 and of the cosines.

    s(i, j) = sum over u of w_ui w_uj / (n_i n_j + shrinkage)

Cost: |I_u|^2 steps for each user u (or word). Memory: a row of sums per thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.best_rows import Rows, write_best
from llmi2i_cli.i2i.incidence import Incidence
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.slices import run_slices


def best_products(
    log: Incidence,
    weights: NDArray[np.float64],
    *,
    top_k: int,
    norms: NDArray[np.float64] | None = None,
    shrinkage: float = 1.0,
    smallest: float = 0.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Neighbours:
    """The `top_k` items with the largest positive s(i, j) of each item, the item itself left out.

    Sums are float64 in a fixed order, so any number of threads gives the same bytes.

    Parameters
    ----------
    weights : float64 (n_entries,), w of each entry of `log`
    norms : float64 (n_items,), n of each item of `log`; None is 0 for all: s is the plain product over `shrinkage`
    smallest : scores below this are left out
    on_progress : called with (done, total) in units of work
    """
    neighbours = Neighbours.empty(log.n_items, top_k)
    costs = np.bincount(log.user_items, np.repeat(log.lengths, log.lengths), minlength=log.n_items)
    total = int(costs.sum())
    norms = np.zeros(log.n_items) if norms is None else norms
    rows = Rows.of(neighbours, log.item_order)
    for share in run_slices(_rank_rows, costs, log, weights, norms, shrinkage, smallest, rows):
        if on_progress:
            on_progress(round(share * total), total)
    return neighbours


@compiled(nogil=True)
def _rank_rows(
    first_item: int,
    last_item: int,
    log: Incidence,
    weights: NDArray[np.float64],
    norms: NDArray[np.float64],
    shrinkage: float,
    smallest: float,
    rows: Rows,
) -> None:
    """Write the best neighbours of the items first_item .. last_item - 1 to their rows of the catalogue."""
    n_items = len(log.item_ptr) - 1
    total = np.zeros(n_items, np.float64)
    touched = np.empty(n_items + 1, np.int32)  # one more: written before it is known to be new
    for item in range(first_item, last_item):
        n_touched = 0
        for p in range(log.item_ptr[item], log.item_ptr[item + 1]):
            item_weight = weights[log.item_entries[p]]
            user = log.item_users[p]
            for entry in range(log.user_ptr[user], log.user_ptr[user + 1]):
                other = log.user_items[entry]
                product = item_weight * weights[entry]
                if product > 0:
                    before = total[other]
                    touched[n_touched] = other
                    n_touched += before == 0
                    total[other] = before + product
        for other in touched[:n_touched]:
            score = total[other] / (norms[item] * norms[other] + shrinkage)
            total[other] = score if score >= smallest else 0.0
        write_best(item, total, touched[:n_touched], rows)
