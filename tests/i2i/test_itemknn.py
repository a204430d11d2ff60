"""ItemKNN against dense NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import ItemKnnOptions
from llmi2i_cli.i2i.itemknn import train
from llmi2i_cli.i2i.training import Job


def random_log(seed: int, *, weighted: bool) -> Histories:
    rng = np.random.default_rng(seed)
    log = Histories.from_rows([rng.integers(0, 15, rng.integers(0, 9)).tolist() for _ in range(40)], 17)
    weights = rng.random(len(log.items)).astype(np.float32) if weighted else None
    return Histories(log.ptr, log.items, log.n_items, weights)


def dense(log: Histories) -> np.ndarray:
    """Users by items, the greatest weight of a repeat, float64 (n_users, n_items)."""
    matrix = np.zeros((log.n_users, log.n_items))
    weights = np.ones(len(log.items)) if log.weights is None else log.weights
    np.maximum.at(matrix, (log.user_of_each(), log.items), weights)
    return matrix


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_scores_are_the_shrunk_cosines(weighted, shrinkage):
    log = random_log(3, weighted=weighted)
    matrix = dense(log)
    norms = np.linalg.norm(matrix, axis=0)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(matrix.T @ matrix / (norms[:, None] * norms + shrinkage))
    np.fill_diagonal(expected, 0)
    found = train(Job(log, top_k=16), ItemKnnOptions(shrinkage=shrinkage)).neighbours
    scores = np.zeros_like(expected)
    for item in range(log.n_items):
        listed = found.ids[item] >= 0
        scores[item, found.ids[item, listed]] = found.scores[item, listed]
        assert listed.sum() == (expected[item] > 0).sum()
    assert scores == pytest.approx(expected, rel=1e-6)
