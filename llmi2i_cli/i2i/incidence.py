"""Who interacted with what, each (user, item) once, by users and by items: the arrays that Swing and BM25 count over.

Items are renumbered from the most to the least popular and users from the shortest to the longest history, so popular
items share cache lines, the first items of a user are the most popular ones, and a loop over pairs u < v always scans
from the shorter history. `item_order` and `user_order` lead back to the catalogue and to the rows of the log.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.compiled import compiled


class Incidence(NamedTuple):
    """The incidence matrix of a log in compressed sparse row form, both ways; rows are sorted.

    An *entry* is a place in the user-major arrays. The items of user ``u`` are
    ``user_items[user_ptr[u]:user_ptr[u + 1]]``, the users of item ``i`` ``item_users[item_ptr[i]:item_ptr[i + 1]]``.

    Attributes
    ----------
    user_order : int64 (n_users,), the log's row of each user here, shortest history first
    item_order : int64 (n_items,), the catalogue index of each item here, most popular first
    user_ptr : int64 (n_users + 1,)
    user_items : int32 (n_entries,)
    weights : float32 (n_entries,) or, when every weight is 1, (0,)
    item_ptr : int64 (n_items + 1,)
    item_users : int32 (n_entries,)
    item_entries : int64 (n_entries,), the entry of each (item, user)
    """

    user_order: NDArray[np.int64]
    item_order: NDArray[np.int64]
    user_ptr: NDArray[np.int64]
    user_items: NDArray[np.int32]
    weights: NDArray[np.float32]
    item_ptr: NDArray[np.int64]
    item_users: NDArray[np.int32]
    item_entries: NDArray[np.int64]

    @property
    def n_users(self) -> int:
        return len(self.user_ptr) - 1

    @property
    def n_items(self) -> int:
        return len(self.item_ptr) - 1

    @property
    def weighted(self) -> bool:
        return len(self.weights) > 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Distinct items of each user, int64 (n_users,)."""
        return np.diff(self.user_ptr)


def incidence(histories: Histories, *, repeats: Literal["max", "sum"]) -> Incidence:
    """Merge what repeats and sort, in time and memory linear in the log (counting sorts, no comparisons).

    Parameters
    ----------
    repeats : how the weights of a repeated (user, item) become one: the greatest, or their sum (1 each without weights)

    Raises
    ------
    ValueError : an item index outside the catalogue, or a weight that is negative or not finite
    """
    items, n_items = histories.items, histories.n_items
    if len(items) and (items.min() < 0 or items.max() >= n_items):
        raise ValueError(f"item indices must lie in 0 .. {n_items - 1}, found {items.min()} .. {items.max()}")
    if histories.weights is not None and not (np.isfinite(histories.weights) & (histories.weights >= 0)).all():
        raise ValueError("interaction weights must be finite and at least 0")

    item_order = np.argsort(-histories.item_counts(), kind="stable")
    place_of_item = np.empty(n_items, np.int32)
    place_of_item[item_order] = np.arange(n_items, dtype=np.int32)
    item_ptr, item_users, entries = _transpose(histories.ptr, place_of_item[items], n_items)
    weights = np.ones(len(items), np.float32) if histories.weights is None else histories.weights[entries]
    item_ptr, item_users, weights = _merge_repeats(item_ptr, item_users, weights, repeats == "sum")

    lengths = np.bincount(item_users, minlength=histories.n_users)
    user_order = np.argsort(lengths, kind="stable")
    place_of_user = np.empty(histories.n_users, np.int32)
    place_of_user[user_order] = np.arange(histories.n_users, dtype=np.int32)
    user_ptr, user_items, entries = _transpose(item_ptr, place_of_user[item_users], histories.n_users)
    weights = np.empty(0, np.float32) if (weights == 1).all() else weights[entries]
    return Incidence(user_order, item_order, user_ptr, user_items, weights, *_transpose(user_ptr, user_items, n_items))


@compiled()
def _transpose(
    ptr: NDArray[np.int64], columns: NDArray[np.int32], n_columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """The transposed CSR matrix, rows in ascending order, and the place in `columns` that each of its entries had."""
    column_ptr = np.zeros(n_columns + 1, np.int64)
    for column in columns:
        column_ptr[column + 1] += 1
    for column in range(n_columns):
        column_ptr[column + 1] += column_ptr[column]
    fill = column_ptr[:-1].copy()
    rows = np.empty(len(columns), np.int32)
    entries = np.empty(len(columns), np.int64)
    for row in range(len(ptr) - 1):
        for entry in range(ptr[row], ptr[row + 1]):
            place = fill[columns[entry]]
            fill[columns[entry]] += 1
            rows[place] = row
            entries[place] = entry
    return column_ptr, rows, entries


@compiled()
def _merge_repeats(
    ptr: NDArray[np.int64], columns: NDArray[np.int32], weights: NDArray[np.float32], add: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Merge equal neighbours in sorted rows; their weights are added, or the greatest is kept."""
    merged_ptr = np.zeros_like(ptr)
    merged_columns = np.empty_like(columns)
    merged_weights = np.empty(len(columns), np.float32)
    n = 0
    for row in range(len(ptr) - 1):
        start = n
        for entry in range(ptr[row], ptr[row + 1]):
            if n > start and merged_columns[n - 1] == columns[entry]:
                if add:
                    merged_weights[n - 1] += weights[entry]
                else:
                    merged_weights[n - 1] = max(merged_weights[n - 1], weights[entry])
            else:
                merged_columns[n] = columns[entry]
                merged_weights[n] = weights[entry]
                n += 1
        merged_ptr[row + 1] = n
    return merged_ptr, merged_columns[:n].copy(), merged_weights[:n].copy()
