"""Simple models on the discriminator's own evidence: what it must beat to earn its place.

Their weights are fitted on validation users, those of one half for the users of the other, so nobody's own next item
has a say in how that user's candidates are ordered.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from judged import Judged, pointers
from numpy.typing import NDArray
from scipy.optimize import minimize

from llmi2i_cli.llm.calibration import balanced_weights, fitting_half

PENALTY = 1e-4  # of the squared weights: keeps them finite, no more
SIGNS = {"rank": -1.0}  # what is better when it is less


def scores_by(judged: Judged) -> dict[str, NDArray[np.float64]]:
    """Every way to order candidates, (n,) each: higher is better."""
    features = standardised(judged.features.values)
    signs = np.array([SIGNS.get(name, 1.0) for name in judged.features.names])
    return {
        "likelihood": judged.logprobs.astype(np.float64),
        "discriminator": judged.confidences.astype(np.float64),
        "logistic": cross_fitted(judged, features, logistic),
        "list-wise logistic": cross_fitted(judged, features, listwise_logistic),
        "sum": features @ signs,
        "random": np.random.default_rng(42).random(len(judged.users)),
    }


def standardised(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Columns with mean 0 and deviation 1."""
    wide = features.astype(np.float64)
    return (wide - wide.mean(axis=0)) / np.maximum(wide.std(axis=0), 1e-9)


def cross_fitted(
    judged: Judged, features: NDArray[np.float64], fit: Callable[..., NDArray[np.float64]]
) -> NDArray[np.float64]:
    """``features @ weights``, the weights of each half of the users fitted on the validation lists of the other."""
    first, labels, listed = fitting_half(judged.users), judged.observed["valid"], judged.listed("valid")
    scores = np.empty(len(judged.users))
    for half in (first, ~first):
        rows = listed & ~half
        scores[half] = features[half] @ fit(features[rows], labels[rows], pointers(judged.users[rows]))
    return scores


def logistic(features: NDArray[np.float64], labels: NDArray[np.bool_], _ptr: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of a logistic regression, Yes and No weighing the same in all, (n_features,)."""
    design = np.column_stack([features, np.ones(len(features))])
    weights, towards = balanced_weights(labels), np.where(labels, 1.0, -1.0)

    def loss(beta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = towards * (design @ beta)
        pull = -weights * towards * np.exp(-np.logaddexp(0.0, margin))
        return float(weights @ np.logaddexp(0.0, -margin) + PENALTY * beta @ beta), design.T @ pull + 2 * PENALTY * beta

    return minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x[:-1]


def listwise_logistic(
    features: NDArray[np.float64], labels: NDArray[np.bool_], ptr: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Weights of a conditional logit: which of a user's candidates it is (McFadden, 1974), (n_features,)."""
    lengths, starts = np.diff(ptr), ptr[:-1]

    def loss(beta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = features @ beta
        largest = np.repeat(np.maximum.reduceat(score, starts), lengths)
        share = np.exp(score - largest)
        total = np.repeat(np.add.reduceat(share, starts), lengths)
        share /= total
        each = (np.log(total) + largest - score)[labels]
        pull = features.T @ share - features[labels].sum(axis=0)
        return float(each.sum() / len(starts) + PENALTY * beta @ beta), pull / len(starts) + 2 * PENALTY * beta

    return minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B").x
