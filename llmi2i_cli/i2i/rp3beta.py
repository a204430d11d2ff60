"""RP3beta: a random walk item -> user -> item, popular items held back (Paudel et al., ACM TiiS 2016).

    s(i, j) = sum over u of (c_ui / d_i)^alpha (c_uj / d_u)^alpha / d_j^beta

c_ui is the weight of the interaction, 1 when the log has none; d_i and d_u are the sums over an item's and a user's
interactions. A repeated (user, item) is one interaction with the sum of the weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llmi2i_cli.choices.model_options import Rp3BetaOptions
from llmi2i_cli.i2i.incidence import incidence
from llmi2i_cli.i2i.sparse_products import products
from llmi2i_cli.i2i.training import Job, Trained


def train(job: Job, options: Rp3BetaOptions) -> Trained:
    """The row of `choices.models`."""
    log = incidence(job.histories, repeats="sum")
    counts = log.weights.astype(np.float64) if log.weighted else np.ones(len(log.user_items))
    users = np.repeat(np.arange(log.n_users), log.lengths)
    item_degrees = _some(np.bincount(log.user_items, counts, minlength=log.n_items))
    user_degrees = _some(np.bincount(users, counts, minlength=log.n_users))
    weights = counts**options.alpha * user_degrees[users] ** (-options.alpha / 2)
    norms = item_degrees**options.beta
    found = job.rank(products(log, weights, top_k=job.top_k, norms=norms, shrinkage=0.0))
    of_item = np.empty(log.n_items)  # the kernel divides by d_i^beta, too, where the walk divides by d_i^alpha
    of_item[log.item_order] = item_degrees ** (options.beta - options.alpha)
    return Trained(replace(found, scores=(found.scores * of_item[:, None]).astype(np.float32)))


def _some(degrees: np.ndarray) -> np.ndarray:
    """1 in the place of 0: what has no interaction is in no sum."""
    return np.where(degrees > 0, degrees, 1.0)
