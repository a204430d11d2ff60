"""Cross-entropy of targets against sampled negatives, with its gradients, in one pass over the table of items.

The plain expression gathers the vectors of all choices, (B, 1 + negatives, d), and again for each gradient; for batches
of this size nearly all its time goes into moving those copies. Here every choice's vector is read in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmi2i_cli.compiled import compiled


def sampled_softmax_loss(
    vectors: Tensor, table: Tensor, choices: NDArray[np.int64], weights: NDArray[np.float32]
) -> Tensor:
    """Weighted mean over rows of ``logsumexp(logits) - logits[0]``, ``logits = table[choices] @ vector``.

    Parameters
    ----------
    vectors : float32 (B, d)
    table : float32 (n, d)
    choices : int64 (B, 1 + negatives), rows of `table`: the target, then its negatives; a negative that is the target
        itself is left out
    weights : float32 (B,), not negative

    Returns
    -------
    float32 scalar, 0 if all weights are; with gradients for `vectors` and `table`
    """
    loss: Tensor = _SampledSoftmax.apply(vectors, table, choices, weights)  # type: ignore[no-untyped-call]
    return loss


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, table: Tensor, choices: NDArray[np.int64], weights: NDArray[np.float32]
    ) -> Tensor:
        shares = (weights / max(float(weights.sum(dtype=np.float64)), 1e-12)).astype(np.float32)
        vector_gradient = np.zeros(tuple(vectors.shape), np.float32)
        table_gradient = np.zeros(tuple(table.shape), np.float32)
        loss = _loss_and_gradients(
            vectors.detach().contiguous().numpy(),
            table.detach().numpy(),
            choices,
            shares,
            vector_gradient,
            table_gradient,
        )
        ctx.save_for_backward(torch.from_numpy(vector_gradient), torch.from_numpy(table_gradient))
        return vectors.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        vector_gradient, table_gradient = ctx.saved_tensors
        return vector_gradient * gradient, table_gradient * gradient, None, None


@compiled(fastmath={"reassoc", "contract"})
def _loss_and_gradients(
    vectors: NDArray[np.float32],
    table: NDArray[np.float32],
    choices: NDArray[np.int64],
    shares: NDArray[np.float32],
    vector_gradient: NDArray[np.float32],
    table_gradient: NDArray[np.float32],
) -> float:
    """The loss; its gradients are added to the last two. A negative that is the target gets the logit -inf."""
    n_choices, dimensions = choices.shape[1], vectors.shape[1]
    logits = np.empty(n_choices, np.float64)
    loss = 0.0
    for row in range(len(choices)):
        vector, target = vectors[row], choices[row, 0]
        largest = -np.inf
        for place in range(n_choices):
            choice = choices[row, place]
            logit = np.float32(0)
            for column in range(dimensions):
                logit += vector[column] * table[choice, column]
            logits[place] = -np.inf if place and choice == target else logit
            largest = max(largest, logits[place])
        total = 0.0
        for place in range(n_choices):
            total += np.exp(logits[place] - largest)
        loss += shares[row] * (np.log(total) + largest - logits[0])
        for place in range(n_choices):
            choice = choices[row, place]
            probability = np.exp(logits[place] - largest) / total
            slope = np.float32((probability - (place == 0)) * shares[row])
            for column in range(dimensions):
                vector_gradient[row, column] += slope * table[choice, column]
                table_gradient[choice, column] += slope * vector[column]
    return loss
