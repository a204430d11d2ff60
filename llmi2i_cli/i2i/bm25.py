"""BM25 between items, as `implicit.nearest_neighbours.BM25Recommender` scores it.

Items are the documents and users the terms; c_ui is the weight of the interaction, 1 when the log has none:

    W_iu = c_ui (k1 + 1) / (c_ui + k1 (1 - b + b C_i / mean C)) * log(n_items / (1 + |I_u|)),   C_i = sum over u of c_ui
    s(i, j) = sum over u of W_iu W_ju

Cost and memory: those of `sparse_products`, and 8 bytes per interaction.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import Bm25Options
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i.incidence import Incidence, incidence
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.pair_products import PairProducts
from llmi2i_cli.i2i.row_job import RowJob, rank_rows
from llmi2i_cli.i2i.sparse_products import products
from llmi2i_cli.i2i.training import Job, Trained


def bm25_neighbours(
    histories: Histories, *, top_k: int = 200, k1: float = Bm25Options.k1, b: float = Bm25Options.b
) -> Neighbours:
    """The table of `bm25_rows`."""
    return rank_rows(bm25_rows(histories, top_k=top_k, k1=k1, b=b))


def bm25_rows(histories: Histories, *, top_k: int, k1: float = Bm25Options.k1, b: float = Bm25Options.b) -> RowJob:
    """The `top_k` items with the highest BM25 score of each item, the item itself left out.

    (implicit counts an item among its own K neighbours: its K + 1 are our `top_k` = K.) A repeated (user, item) is one
    interaction with the sum of the weights. Scores are float64 sums in a fixed order, so any number of threads gives
    the same bytes.

    Parameters
    ----------
    k1 : how late repeats or weights saturate, at least 0
    b : how far an item's popularity is normalised away, from 0 to 1

    Raises
    ------
    UsageError : an option out of range
    """
    if top_k < 1:
        raise UsageError(f"top-k must be at least 1, not {top_k}")
    log = incidence(histories, repeats="sum")
    weights = _bm25_weights(log, k1, b)  # idf occurs twice in a product: none is negative
    return products(log, weights, top_k=top_k)


def train(job: Job, options: Bm25Options) -> Trained:
    """The row of `choices.models`."""
    return Trained(job.rank(bm25_rows(job.histories, top_k=job.top_k, **as_given(options))))


def bm25_pairs(histories: Histories, *, k1: float = Bm25Options.k1, b: float = Bm25Options.b) -> PairProducts:
    """The BM25 scores of pairs of items. UsageError for an option out of range."""
    log = incidence(histories, repeats="sum")
    return PairProducts(log, _bm25_weights(log, k1, b))


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
