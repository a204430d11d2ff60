"""Products of the sparse vectors of given pairs of items: BM25 and text similarity as evidence, not cut off at a top K.

s(i, j) = sum over u of w_ui w_uj
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.incidence import Incidence


class PairProducts:
    """s(i, j) for many calls on one log: what depends on the log alone is made once."""

    def __init__(self, log: Incidence, weights: NDArray[np.float64]) -> None:
        """`weights`, float64 (n_entries,), are w of each entry of `log`; where there are no users, words do as well."""
        self._log, self._weights = log, weights
        self._place_of_item = np.argsort(log.item_order)
        self._place_of_user = np.append(np.argsort(log.user_order), -1)  # a user of -1 stays -1

    def of(self, pairs: NDArray[np.int32], *, without_users: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """The product of each pair, float32 (n_pairs,).

        Parameters
        ----------
        pairs : int32 (n_pairs, 2), item indices; of an item with itself it is the sum of its squared weights
        without_users : int32 (n_pairs,), for each pair a user (row of the log) whose own contribution is left out, so
            that an interaction is not its own evidence; -1 for none
        """
        places = np.sort(self._place_of_item[pairs], axis=1)  # the popular item first: marked once, the rare one walked
        order = np.lexsort((places[:, 1], places[:, 0]))
        products = np.empty(len(pairs), np.float64)
        users = np.full(len(pairs), -1) if without_users is None else without_users
        _products_of_pairs(self._log, self._weights, places, self._place_of_user[users], order, products)
        return products.astype(np.float32)


@compiled()
def _products_of_pairs(
    log: Incidence,
    weights: NDArray[np.float64],
    pairs: NDArray[np.int64],
    without_users: NDArray[np.int64],
    order: NDArray[np.int64],
    products: NDArray[np.float64],
) -> None:
    """Products of pairs (popular item, rare item), float64 (n_pairs,), visited in `order`: sorted by both."""
    of_user = np.zeros(len(log.user_ptr) - 1, np.float64)  # w of the popular item
    marked = -1
    walked = -1
    product = 0.0
    for pair in order:
        if pairs[pair, 0] != marked:
            if marked >= 0:
                for p in range(log.item_ptr[marked], log.item_ptr[marked + 1]):
                    of_user[log.item_users[p]] = 0
            marked, walked = pairs[pair, 0], -1
            for p in range(log.item_ptr[marked], log.item_ptr[marked + 1]):
                of_user[log.item_users[p]] = weights[log.item_entries[p]]
        if pairs[pair, 1] != walked:
            walked, product = pairs[pair, 1], 0.0
            for p in range(log.item_ptr[walked], log.item_ptr[walked + 1]):
                product += of_user[log.item_users[p]] * weights[log.item_entries[p]]
        products[pair] = product
        user = without_users[pair]
        if user >= 0 and of_user[user] != 0:
            for entry in range(log.user_ptr[user], log.user_ptr[user + 1]):
                if log.user_items[entry] == walked:
                    products[pair] = max(product - of_user[user] * weights[entry], 0.0)
