"""Similarity of vectors that the user has of the items, such as those of a sentence encoder. It reads no log.

    s(i, j) = cos(v_i, v_j)^power

The power leaves the order of an item's neighbours as it is. It counts where rows are summed: over recent items, and
with other tables in a blend.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.choices.model_options import VectorsOptions
from llmi2i_cli.i2i.dense_neighbours import SMALLEST_POSITIVE, cosine_neighbours
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.i2i.training import Job, Trained


def train(job: Job, options: VectorsOptions) -> Trained:
    """The row of `choices.models`."""
    assert job.vectors is not None  # the model reads them
    return Trained(similar_vectors(job.vectors, power=options.power, top_k=job.top_k, search=job.search))


def similar_vectors(vectors: NDArray[np.float32], *, power: float, top_k: int, search: str = "exact") -> Neighbours:
    """The `top_k` items of largest positive cosine for each item, with its `power` as the score.

    Parameters
    ----------
    vectors : float32 (n_items, d); an item whose vector is zero has no neighbours and is nobody's
    search : as in `cosine_neighbours`
    """
    found = cosine_neighbours(vectors, np.ones(len(vectors), bool), top_k=top_k, search=search)
    scores = np.maximum(found.scores**power, SMALLEST_POSITIVE)  # a power must not make a neighbour's score 0
    return Neighbours(found.ids, np.where(found.ids == EMPTY, 0, scores).astype(np.float32))
