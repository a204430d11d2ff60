"""The bootstrap where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from llmi2i_cli.evaluation.comparison import bootstrap_means, interval, relative_gain


def test_the_interval_of_a_share_is_the_binomial_one():
    hits = np.zeros((400, 1))
    hits[:100] = 1
    draws = bootstrap_means(hits, resamples=20_000, seed=1)[:, 0]
    expected = [quantile / 400 for quantile in stats.binom(400, 0.25).ppf([0.025, 0.975])]
    found = interval(draws)
    assert found is not None
    assert found == pytest.approx(expected, abs=1 / 400)


def test_columns_are_resampled_together():
    rng = np.random.default_rng(0)
    baseline = rng.integers(0, 2, 300).astype(float)
    draws = bootstrap_means(np.stack([baseline, 1 - baseline, 2 * baseline], axis=1), seed=1)
    assert np.allclose(draws[:, 0] + draws[:, 1], 1)  # the same users in each resample
    gains = relative_gain(draws[:, 2], draws[:, 0])
    assert interval(gains) == pytest.approx((1.0, 1.0))  # twice as good whoever is drawn


def test_grouping_equal_users_does_not_change_the_distribution():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 4, (50, 1)) / 3
    grouped = bootstrap_means(values, resamples=20_000, seed=3)[:, 0]
    plain = values[rng.integers(0, 50, (20_000, 50)), 0].mean(axis=1)
    assert grouped.mean() == pytest.approx(values.mean(), abs=0.002)
    assert grouped.std() == pytest.approx(plain.std(), rel=0.03)


def test_blocks_of_draws_add_up_to_the_number_asked_for(monkeypatch):
    monkeypatch.setattr("llmi2i_cli.evaluation.comparison.DRAWN_AT_ONCE", 7)
    assert bootstrap_means(np.array([[0.0], [1.0]]), resamples=11).shape == (11, 1)


def test_the_same_seed_gives_the_same_draws():
    values = np.random.default_rng(0).random((20, 2))
    assert bootstrap_means(values, seed=5).tobytes() == bootstrap_means(values, seed=5).tobytes()
    assert bootstrap_means(values, seed=5).tobytes() != bootstrap_means(values, seed=6).tobytes()


def test_a_gain_over_nothing_is_not_a_number():
    gains = relative_gain(np.array([0.3, 0.2]), np.array([0.2, 0.0]))
    assert gains[0] == pytest.approx(0.5)
    assert np.isnan(gains[1])
    assert interval(gains) is None
