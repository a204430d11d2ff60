"""BPR, Bayesian personalised ranking (Rendle et al., UAI 2009), trained by `implicit`.

Neighbours are the items of largest cosine of the item factors, as its ``similar_items`` ranks them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.recommender_base import ModelFitError
from scipy.sparse import csr_matrix

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import BprOptions
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.errors import ModelError
from llmi2i_cli.i2i.dense_neighbours import cosine_neighbours
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.i2i.training import Job, Trained


def bpr_neighbours(
    histories: Histories,
    *,
    top_k: int = 200,
    factors: int = BprOptions.factors,
    learning_rate: float = BprOptions.learning_rate,
    regularization: float = BprOptions.regularization,
    iterations: int = BprOptions.iterations,
    seed: int = BprOptions.seed,
    search: str = "exact",
    on_progress: Callable[[int, int], None] | None = None,
) -> Neighbours:
    """Train BPR and return each item's `top_k` most similar items, as `implicit`'s ``similar_items`` ranks them.

    Parameters
    ----------
    histories : a repeated item counts once; weights cannot be honoured, for BPR only compares what a user has with what
        they have not (a weight of 0 or less takes the interaction out)
    iterations : passes over the interactions
    search : how the neighbours are found, as in `cosine_neighbours`
    on_progress : called with (passes done, passes in all)

    Returns
    -------
    Neighbours with cosines (of the factors and the item bias) as scores. One thread and `seed` make it repeatable.

    Raises
    ------
    ModelError : the factors became infinite
    """
    user_items = _user_items(histories)
    known = np.zeros(histories.n_items, bool)
    known[user_items.indices] = True
    if known.sum() < 2:  # nothing to compare
        shape = (histories.n_items, top_k)
        return Neighbours(np.full(shape, EMPTY, np.int32), np.zeros(shape, np.float32))
    model = BayesianPersonalizedRanking(
        factors=factors,
        learning_rate=learning_rate,
        regularization=regularization,
        iterations=iterations,
        num_threads=1,
        random_state=seed,
    )

    def tell(done: int, *_: object) -> None:
        if on_progress:
            on_progress(done + 1, iterations)

    try:
        model.fit(user_items, show_progress=False, callback=tell)
    except ModelFitError as error:  # NaN
        raise ModelError("BPR broke down: lower --learning-rate or --regularization") from error
    return cosine_neighbours(np.asarray(model.item_factors, np.float32), known, top_k=top_k, search=search)


def train(job: Job, options: BprOptions) -> Trained:
    """The row of `choices.models`."""
    return Trained(
        bpr_neighbours(job.histories, top_k=job.top_k, search=job.search, on_progress=job.tell, **as_given(options))
    )


def _user_items(histories: Histories) -> csr_matrix:
    """Who has what, 1 once, float32 (n_users, n_items)."""
    users, items = histories.user_of_each(), histories.items
    if histories.weights is not None:
        users, items = users[histories.weights > 0], items[histories.weights > 0]
    matrix = csr_matrix(
        (np.ones(len(items), np.float32), (users, items)), shape=(histories.n_users, histories.n_items)
    )  # sums duplicates
    matrix.data[:] = 1
    return matrix
