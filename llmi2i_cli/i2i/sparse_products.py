"""For each item the K others with the largest product of sparse vectors: the kernel of BM25 and of the cosines.

    s(i, j) = sum over u of w_ui w_uj / (n_i n_j + shrinkage)

A row is summed user by user (or word by word), those with the fewest items first. What the last few can add at most is
known: once that is less than the K-th best score so far, no further item can enter the row, and only the items that may
still be among the best are completed (max-score: Turtle & Flood, 1995). So the most frequent words, which cost the most
and tell the least, are seldom walked; the result is the same to the bit.

Cost: at most |I_u|^2 steps for each user u (or word). Memory: a row of sums per thread, 64 bytes per item.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.compiled import compiled
from llmi2i_cli.i2i.best_rows import Rows, write_best
from llmi2i_cli.i2i.incidence import Incidence
from llmi2i_cli.i2i.row_job import RowJob

FREQUENT = 8  # users (words) with the most items: an item's weights of them fill a cache line
SLACK = 1 - 1e-5  # bounds are rounded otherwise than scores, which tie to a relative 1e-6
BUCKETS, BUCKETS_TO_BOUND = 256, 32  # the K-th best score is known to a 32nd of what can still be added
TINY = 1e-300


class Vectors(NamedTuple):
    """The items' sparse vectors, and what their products are divided by.

    Attributes
    ----------
    weights : float64 (n_entries,), w of each entry of `log`
    frequent : float64 (n_items, at most FREQUENT), w of the last users of `log`, who have the most items
    largest : float64 (at most FREQUENT,), the largest absolute w of each of them
    norms : float64 (n_items,); `least_norm` is the smallest
    """

    log: Incidence
    weights: NDArray[np.float64]
    frequent: NDArray[np.float64]
    largest: NDArray[np.float64]
    norms: NDArray[np.float64]
    least_norm: float
    shrinkage: float


class Products(NamedTuple):
    """What the kernel is given beside its rows: scores below `smallest` are left out."""

    vectors: Vectors
    smallest: float


def products(
    log: Incidence,
    weights: NDArray[np.float64],
    *,
    top_k: int,
    norms: NDArray[np.float64] | None = None,
    shrinkage: float = 1.0,
    smallest: float = 0.0,
) -> RowJob:
    """The rows of the `top_k` items with the largest positive s(i, j) of each item, the item itself left out.

    Sums are float64 in a fixed order, so any number of threads gives the same bytes.

    Parameters
    ----------
    weights : float64 (n_entries,), w of each entry of `log`
    norms : float64 (n_items,), n of each item of `log`; None is 0 for all: s is the plain product over `shrinkage`
    smallest : scores below this are left out
    """
    costs = np.bincount(log.user_items, np.repeat(log.lengths, log.lengths), minlength=log.n_items)
    norms = np.zeros(log.n_items) if norms is None else norms
    frequent = _frequent_users(log, weights)
    largest = np.abs(frequent).max(axis=0, initial=0)
    vectors = Vectors(log, weights, frequent, largest, norms, norms.min(initial=np.inf), shrinkage)
    return RowJob(f"{__name__}:rank_rows", Products(vectors, smallest), costs, log.item_order, top_k)


def _frequent_users(log: Incidence, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """`Vectors.frequent`."""
    first = max(0, log.n_users - FREQUENT)
    entries = slice(log.user_ptr[first], None)
    frequent = np.zeros((log.n_items, log.n_users - first))
    frequent[log.user_items[entries], np.repeat(np.arange(log.n_users - first), log.lengths[first:])] = weights[entries]
    return frequent


@compiled()
def rank_rows(first_item: int, last_item: int, vectors: Vectors, smallest: float, rows: Rows) -> None:
    """Write the best neighbours of the items first_item .. last_item - 1 to their rows of the catalogue."""
    log, weights = vectors.log, vectors.weights
    first_frequent = len(log.user_ptr) - 1 - len(vectors.largest)
    total = np.zeros(len(log.item_ptr) - 1, np.float64)
    touched = np.empty(len(total) + 1, np.int32)  # one more: written before it is known to be new
    for item in range(first_item, last_item):
        n_touched = 0
        for p in range(log.item_ptr[item], log.item_ptr[item + 1]):
            user = log.item_users[p]
            if user >= first_frequent:
                left = user - first_frequent
                reach, steps = _to_come(item, left, vectors)
                if steps > n_touched:  # it takes as many steps to look
                    floor = SLACK * max(smallest, _kth_best(item, reach, total, touched[:n_touched], vectors, rows))
                    if reach < floor * _least_divisor(item, vectors):
                        n_touched = _complete(item, left, reach, floor, total, touched[:n_touched], vectors)
                        break
            item_weight = weights[log.item_entries[p]]
            for entry in range(log.user_ptr[user], log.user_ptr[user + 1]):
                other = log.user_items[entry]
                product = item_weight * weights[entry]
                if product > 0:
                    before = total[other]
                    touched[n_touched] = other
                    n_touched += before == 0
                    total[other] = before + product
        for other in touched[:n_touched]:
            score = total[other] / _divisor(item, other, vectors)
            total[other] = score if score >= smallest else 0.0
        write_best(item, total, touched[:n_touched], rows)


@compiled(inline="always")
def _divisor(item: int, other: int, vectors: Vectors) -> float:
    return vectors.norms[item] * vectors.norms[other] + vectors.shrinkage


@compiled(inline="always")
def _least_divisor(item: int, vectors: Vectors) -> float:
    return vectors.norms[item] * vectors.least_norm + vectors.shrinkage


@compiled()
def _to_come(item: int, left: int, vectors: Vectors) -> tuple[float, int]:
    """What the frequent users from `left` on can add to any sum at most, and in how many steps."""
    reach, steps = 0.0, 0
    first = len(vectors.log.user_ptr) - 1 - len(vectors.largest)
    for place in range(left, len(vectors.largest)):
        weight = vectors.frequent[item, place]
        if weight != 0:
            reach += abs(weight) * vectors.largest[place]
            steps += vectors.log.user_ptr[first + place + 1] - vectors.log.user_ptr[first + place]
    return reach, steps


@compiled()
def _kth_best(
    item: int,
    reach: float,
    total: NDArray[np.float64],
    touched: NDArray[np.int32],
    vectors: Vectors,
    rows: Rows,
) -> float:
    """A lower bound of the K-th best score so far, a 32nd of `reach` below it at most; 0 if it is not above `reach`."""
    step = max(reach / max(_least_divisor(item, vectors), TINY) / BUCKETS_TO_BOUND, TINY)
    counts = np.zeros(BUCKETS, np.int64)
    for other in touched:
        counts[int(min(total[other] / _divisor(item, other, vectors) / step, BUCKETS - 1.0))] += 1
    n = 0
    for bucket in range(BUCKETS - 1, BUCKETS_TO_BOUND, -1):
        n += counts[bucket]
        if n > rows.ids.shape[1]:  # one of them may be the item itself
            return bucket * step
    return 0.0


@compiled()
def _complete(
    item: int,
    left: int,
    reach: float,
    floor: float,
    total: NDArray[np.float64],
    touched: NDArray[np.int32],
    vectors: Vectors,
) -> int:
    """Add what the frequent users from `left` on contribute, to the sums that may get to `floor`; reset the others.

    Returns how many are left, at the front of `touched`. Products are added in the users' order, as everywhere.
    """
    of_item = vectors.frequent[item, left:]
    n = 0
    for other in touched:
        if total[other] + reach < floor * _divisor(item, other, vectors):
            total[other] = 0
        else:
            touched[n] = other
            n += 1
            added = total[other]
            for place in range(len(of_item)):
                added += of_item[place] * vectors.frequent[other, left + place]
            total[other] = added
    return n
