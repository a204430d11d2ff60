"""ItemKNN: the cosine of two items over their users, with shrinkage (Sarwar et al., WWW 2001; Bell & Koren, ICDM 2007).

    s(i, j) = sum over u of c_ui c_uj / (||c_i|| ||c_j|| + shrinkage)

c_ui is the weight of the interaction, 1 when the log has none; a repeated (user, item) counts once, with the greatest
weight.
"""

from __future__ import annotations

import numpy as np

from llmi2i_cli.choices.model_options import ItemKnnOptions
from llmi2i_cli.i2i.incidence import incidence
from llmi2i_cli.i2i.sparse_products import products
from llmi2i_cli.i2i.training import Job, Trained


def train(job: Job, options: ItemKnnOptions) -> Trained:
    """The row of `choices.models`."""
    log = incidence(job.histories, repeats="max")
    weights = log.weights.astype(np.float64) if log.weighted else np.ones(len(log.user_items))
    norms = np.sqrt(np.bincount(log.user_items, weights**2, minlength=log.n_items))
    return Trained(job.rank(products(log, weights, top_k=job.top_k, norms=norms, shrinkage=options.shrinkage)))
