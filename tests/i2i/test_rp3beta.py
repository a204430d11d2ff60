"""RP3beta against dense NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.choices.model_options import Rp3BetaOptions
from llmi2i_cli.i2i.rp3beta import train
from llmi2i_cli.i2i.training import Job
from tests.i2i.test_itemknn import random_log


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.5), (0.6, 0.0), (1.4, 0.8)])
def test_scores_are_those_of_the_walk(weighted, alpha, beta):
    log = random_log(3, weighted=weighted)
    matrix = np.zeros((log.n_users, log.n_items))
    np.add.at(matrix, (log.user_of_each(), log.items), 1 if log.weights is None else log.weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        to_users = np.nan_to_num(matrix.T / matrix.sum(axis=0)[:, None]) ** alpha  # (n_items, n_users)
        to_items = np.nan_to_num(matrix / matrix.sum(axis=1)[:, None]) ** alpha
        expected = np.nan_to_num(to_users @ to_items / matrix.sum(axis=0) ** beta)
    np.fill_diagonal(expected, 0)
    found = train(Job(log, top_k=16), Rp3BetaOptions(alpha=alpha, beta=beta)).neighbours
    scores = np.zeros_like(expected)
    for item in range(log.n_items):
        listed = found.ids[item] >= 0
        scores[item, found.ids[item, listed]] = found.scores[item, listed]
    assert expected.max() > 0
    assert scores == pytest.approx(expected, rel=1e-5)


def test_the_best_neighbours_are_kept():
    log = random_log(5, weighted=False)
    whole = train(Job(log, top_k=16), Rp3BetaOptions()).neighbours
    three = train(Job(log, top_k=3), Rp3BetaOptions()).neighbours
    assert (three.ids == whole.ids[:, :3]).all()
