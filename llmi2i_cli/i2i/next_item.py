"""What the trained generator expects after an item: the LLM's own view of what follows what, as a table.

    s(i, j) = P(j | i)^power / (1 + sum over k of P(j | k))^discount

P(j | i) is its probability that j comes next after a history of i alone, i itself left out. The sum is how often j is
expected when every item is asked once: what is expected everywhere says little about i. A neighbour is likelier than by
chance, 1 / (n_items - 1). Work: two products of n_items^2 x d; memory: some blocks of logits of `BLOCK_BYTES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from llmi2i_cli.choices.model_options import NextItemOptions
from llmi2i_cli.choices.options import as_given
from llmi2i_cli.i2i.dense_neighbours import largest_of_rows
from llmi2i_cli.i2i.neighbours import Neighbours, tie_ranks
from llmi2i_cli.i2i.training import Job, Trained

BLOCK_BYTES = 64 << 20
ABOVE_CHANCE = 1 + 1e-5  # what a probability exceeds chance by, or else rounding would decide


def train(job: Job, options: NextItemOptions) -> Trained:
    """The row of `choices.models`."""
    assert job.generator is not None  # the model reads it
    states, item_vectors = job.generator.states_after_each(), job.generator.item_vectors()
    return Trained(
        next_item_neighbours(states, item_vectors, top_k=job.top_k, on_progress=job.tell, **as_given(options))
    )


def next_item_neighbours(
    states: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
    *,
    power: float,
    discount: float,
    top_k: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Neighbours:
    """The `top_k` items with the largest s(i, j) of each item.

    Parameters
    ----------
    states, item_vectors : float32 (n_items, d); the logit of j after i is the product of row i and row j
    on_progress : called with (rows done, rows in all), of two passes
    """
    n_items = len(states)
    neighbours = Neighbours.empty(n_items, top_k)
    if n_items < 2:
        return neighbours

    def tell(done: int) -> None:
        if on_progress:
            on_progress(done, 2 * n_items)

    expected = np.zeros(n_items)
    for rows, probabilities in _probabilities(states, item_vectors):
        expected += probabilities.sum(axis=0, dtype=np.float64)
        tell(rows.stop)
    discounts = ((1 + expected) ** -discount).astype(np.float32)
    chance, ranks = np.float32(ABOVE_CHANCE / (n_items - 1)), tie_ranks(n_items)
    for rows, probabilities in _probabilities(states, item_vectors):
        scores = np.where(probabilities > chance, probabilities**power * discounts, 0)
        neighbours.ids[rows], neighbours.scores[rows] = largest_of_rows(scores, ranks, top_k=top_k)
        tell(n_items + rows.stop)
    return neighbours


def _probabilities(
    states: NDArray[np.float32], item_vectors: NDArray[np.float32]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """P(j | i) of blocks of items i: which ones, and float32 (block, n_items)."""
    n_items = len(states)
    block = max(1, BLOCK_BYTES // (4 * n_items))
    for start in range(0, n_items, block):
        rows = slice(start, min(start + block, n_items))
        logits = states[rows] @ item_vectors.T
        logits[np.arange(len(logits)), np.arange(start, rows.stop)] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        yield rows, logits
