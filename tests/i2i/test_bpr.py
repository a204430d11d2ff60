from __future__ import annotations

from typing import Any

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.i2i import bpr
from llmi2i_cli.i2i.bpr import bpr_neighbours


def small_log(seed: int = 0) -> Histories:
    rng = np.random.default_rng(seed)
    return Histories.from_rows([rng.integers(0, 40, 8).tolist() for _ in range(60)], 40)


def test_ranks_as_implicit_does(monkeypatch):
    trained = []

    class Remembered(BayesianPersonalizedRanking):
        def fit(self, *args, **kwargs):
            trained.append(self)
            return super().fit(*args, **kwargs)

    monkeypatch.setattr(bpr, "BayesianPersonalizedRanking", Remembered)
    neighbours = bpr_neighbours(small_log(), top_k=10, factors=16, iterations=30, learning_rate=0.05)
    assert trained[0].item_factors.shape == (40, 17)  # the bias is one of them
    for item in range(40):
        ids, scores = trained[0].similar_items(item, N=11)
        positive = scores[1:] > 0
        assert ids[0] == item
        assert neighbours.ids[item][: positive.sum()].tolist() == ids[1:][positive].tolist()
        assert np.allclose(neighbours.scores[item][: positive.sum()], scores[1:][positive], atol=1e-5)


def test_the_seed_decides():
    log = small_log()
    first, again, other = (bpr_neighbours(log, top_k=5, factors=8, iterations=5, seed=seed) for seed in (1, 1, 2))
    assert first.scores.tobytes() == again.scores.tobytes()
    assert first.ids.tobytes() == again.ids.tobytes()
    assert first.scores.tobytes() != other.scores.tobytes()


def test_progress_counts_passes():
    told: list[tuple[int, int]] = []
    bpr_neighbours(small_log(), factors=4, iterations=3, on_progress=lambda *seen: told.append(seen))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_repetition_and_weights_change_nothing_but_a_weight_of_zero_takes_out():
    rows = [[0, 1, 2], [1, 2, 3], [0, 3]]
    log = Histories.from_rows(rows, 4)
    repeated = Histories.from_rows([[*row, row[0]] for row in rows], 4)
    weighted = Histories(log.ptr, log.items, 4, np.array([1, 2, 0.5, 1, 3, 1, 1, 0], np.float32))
    without_last = Histories.from_rows([*rows[:2], [0]], 4)
    options: dict[str, Any] = {"top_k": 3, "factors": 4, "iterations": 10}
    plain = bpr_neighbours(log, **options).scores
    assert (bpr_neighbours(repeated, **options).scores == plain).all()
    assert (bpr_neighbours(weighted, **options).scores == bpr_neighbours(without_last, **options).scores).all()
    assert (bpr_neighbours(without_last, **options).scores != plain).any()
