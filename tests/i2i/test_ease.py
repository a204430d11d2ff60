"""EASE against its formula in dense NumPy, and its refusal of what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import EaseOptions
from llmi2i_cli.errors import ModelError
from llmi2i_cli.i2i import ease
from llmi2i_cli.i2i.training import Job
from tests.i2i.test_itemknn import dense, random_log


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("block", [4, 512])
def test_scores_are_those_of_the_closed_form(weighted, block, monkeypatch):
    monkeypatch.setattr(ease, "BLOCK_ITEMS", block)
    log = random_log(5, weighted=weighted)
    matrix = dense(log)
    inverse = np.linalg.inv(matrix.T @ matrix + 3.0 * np.eye(log.n_items))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    found = ease.train(Job(log, top_k=5), EaseOptions(penalty=3.0)).neighbours
    for item in range(log.n_items):
        best = np.sort(expected[item][expected[item] > 1e-9])[::-1][:5]
        listed = found.ids[item] >= 0
        assert found.scores[item, listed] == pytest.approx(best, rel=1e-5)
        assert expected[item, found.ids[item, listed]] == pytest.approx(best, rel=1e-5)


def test_a_penalty_that_vanishes_beside_the_counts_is_told():
    always_together = Histories.from_rows([[0, 1]] * 3, 2)
    with pytest.raises(ModelError, match="EASE's matrix is not positive definite: raise --penalty"):
        ease.train(Job(always_together), EaseOptions(penalty=1e-20))


def test_memory_is_checked_before_the_work(monkeypatch):
    monkeypatch.setattr(ease, "free_bytes", lambda: 1000)
    monkeypatch.setattr(ease, "inverse_gram", None)
    with pytest.raises(ModelError, match=r"GiB for 15 bought items, .* train itemknn or bm25"):
        ease.train(Job(random_log(5, weighted=False)), EaseOptions())


def test_ten_thousand_items_need_about_a_gibibyte():
    ease.require_memory(10_000, 1 << 30)
    with pytest.raises(ModelError, match=r"EASE needs about 0\.9 GiB for 10,000 bought items, and 0\.5 GiB are free"):
        ease.require_memory(10_000, 1 << 29)
