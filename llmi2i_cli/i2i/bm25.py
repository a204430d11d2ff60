"""BM25 between items, as `implicit.nearest_neighbours.BM25Recommender` scores it.

Items are the documents and users the terms; c_ui is the weight of the interaction, 1 when the log has none:

    W_iu = c_ui (k1 + 1) / (c_ui + k1 (1 - b + b C_i / mean C)) * log(n_items / (1 + |I_u|)),   C_i = sum over u of c_ui
    s(i, j) = sum over u of W_iu W_ju

Cost and memory: those of `sparse_products`, and 8 bytes per interaction.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.models import Bm25Options
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.compiled import compiled
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i.incidence import Incidence, incidence
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.sparse_products import best_products
from llmi2i_cli.i2i.training import Job, Trained


def bm25_neighbours(
    histories: Histories,
    *,
    top_k: int = 200,
    k1: float = Bm25Options.k1,
    b: float = Bm25Options.b,
    on_progress: Callable[[int, int], None] | None = None,
) -> Neighbours:
    """The `top_k` items with the highest BM25 score of each item, the item itself left out.

    (implicit counts an item among its own K neighbours: its K + 1 are our `top_k` = K.) A repeated (user, item) is one
    interaction with the sum of the weights. Scores are float64 sums in a fixed order, so any number of threads gives
    the same bytes.

    Parameters
    ----------
    k1 : how late repeats or weights saturate, at least 0
    b : how far an item's popularity is normalised away, from 0 to 1
    on_progress : called with (done, total) in units of work

    Raises
    ------
    UsageError : an option out of range
    """
    if top_k < 1:
        raise UsageError(f"top-k must be at least 1, not {top_k}")
    log = incidence(histories, repeats="sum")
    weights = _bm25_weights(log, k1, b)  # idf occurs twice in a product: none is negative
    return best_products(log, weights, top_k=top_k, on_progress=on_progress)


def train(job: Job, options: Bm25Options) -> Trained:
    """The row of `choices.models`."""
    return Trained(bm25_neighbours(job.histories, top_k=job.top_k, on_progress=job.tell, **as_given(options)))


def bm25_similarity(
    histories: Histories,
    pairs: NDArray[np.int32],
    *,
    k1: float = Bm25Options.k1,
    b: float = Bm25Options.b,
    without_users: NDArray[np.int32] | None = None,
) -> NDArray[np.float32]:
    """The BM25 score of given pairs of items, float32 (n_pairs,); not cut off at a top K.

    Parameters
    ----------
    pairs : int32 (n_pairs, 2), item indices; of an item with itself the score is the sum of its squared weights
    without_users : int32 (n_pairs,), for each pair a user (row of `histories`) whose own contribution is
        left out, so that an interaction is not its own evidence; -1 for none

    Raises
    ------
    UsageError : an option out of range
    """
    return Bm25Pairs(histories, k1=k1, b=b).scores(pairs, without_users=without_users)


class Bm25Pairs:
    """`bm25_similarity` for many calls on one log: what depends on the log alone is made once."""

    def __init__(self, histories: Histories, *, k1: float = Bm25Options.k1, b: float = Bm25Options.b) -> None:
        self._log = incidence(histories, repeats="sum")
        self._weights = _bm25_weights(self._log, k1, b)
        self._place_of_item = np.argsort(self._log.item_order)
        self._place_of_user = np.append(np.argsort(self._log.user_order), -1)  # a user of -1 stays -1

    def scores(
        self, pairs: NDArray[np.int32], *, without_users: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        """As `bm25_similarity`."""
        places = np.sort(self._place_of_item[pairs], axis=1)  # the popular item first: marked once, the rare one walked
        order = np.lexsort((places[:, 1], places[:, 0]))
        scores = np.empty(len(pairs), np.float64)
        users = np.full(len(pairs), -1) if without_users is None else without_users
        _score_pairs(self._log, self._weights, places, self._place_of_user[users], order, scores)
        return scores.astype(np.float32)


def _bm25_weights(log: Incidence, k1: float, b: float) -> NDArray[np.float64]:
    """W of each entry, float64 (n_entries,)."""
    if not (0 <= k1 < math.inf and 0 <= b <= 1):
        raise UsageError(f"k1 must be at least 0 and b from 0 to 1, not k1 = {k1} and b = {b}")
    counts = log.weights.astype(np.float64) if log.weighted else np.ones(len(log.user_items))
    item_sums = np.bincount(log.user_items, counts, minlength=log.n_items)
    length_norm = 1 - b + b * item_sums / max(item_sums.mean(), np.finfo(float).tiny) if log.n_items else item_sums
    idf = np.log(max(log.n_items, 1)) - np.log1p(log.lengths)
    saturated = np.zeros(len(counts))  # stays 0 where the interaction's weight is 0
    np.divide(counts * (k1 + 1), counts + k1 * length_norm[log.user_items], out=saturated, where=counts > 0)
    return saturated * np.repeat(idf, log.lengths)


@compiled(nogil=True)
def _score_pairs(
    log: Incidence,
    weights: NDArray[np.float64],
    pairs: NDArray[np.int64],
    without_users: NDArray[np.int64],
    order: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> None:
    """Scores of pairs (popular item, rare item), float64 (n_pairs,), visited in `order`: sorted by both."""
    of_user = np.zeros(len(log.user_ptr) - 1, np.float64)  # W of the popular item
    marked = -1
    walked = -1
    score = 0.0
    for pair in order:
        if pairs[pair, 0] != marked:
            if marked >= 0:
                for p in range(log.item_ptr[marked], log.item_ptr[marked + 1]):
                    of_user[log.item_users[p]] = 0
            marked, walked = pairs[pair, 0], -1
            for p in range(log.item_ptr[marked], log.item_ptr[marked + 1]):
                of_user[log.item_users[p]] = weights[log.item_entries[p]]
        if pairs[pair, 1] != walked:
            walked, score = pairs[pair, 1], 0.0
            for p in range(log.item_ptr[walked], log.item_ptr[walked + 1]):
                score += of_user[log.item_users[p]] * weights[log.item_entries[p]]
        scores[pair] = score
        user = without_users[pair]
        if user >= 0 and of_user[user] != 0:
            for entry in range(log.user_ptr[user], log.user_ptr[user + 1]):
                if log.user_items[entry] == walked:
                    scores[pair] = max(score - of_user[user] * weights[entry], 0.0)
