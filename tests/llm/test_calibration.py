from __future__ import annotations

import math

import numpy as np
import pytest

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.llm.calibration import (
    Calibration,
    balanced_weights,
    calibrate,
    expected_calibration_error,
    fit,
    fitting_half,
    log_loss,
    reliability,
)


def drawn(n, slope, intercept, *, seed=0, share_of_yes=0.5):
    """Log-odds and answers such that ``slope * odds + intercept`` is right where Yes and No are equally many."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 2, n)
    labels = rng.random(n) < 1 / (1 + np.exp(-(slope * odds + intercept)))
    kept = ~labels | (rng.random(n) < share_of_yes)
    return odds[kept], labels[kept]


@pytest.mark.parametrize("share_of_yes", [1.0, 0.1])
def test_fit_finds_what_the_answers_were_drawn_with(share_of_yes):
    """However few are observed: thinning them shifts the log-odds, and weighing takes the shift back."""
    odds, labels = drawn(200_000, 0.5, 0.0, share_of_yes=share_of_yes)
    found = fit(odds, labels)
    assert found.slope == pytest.approx(0.5, abs=0.02)
    assert found.intercept == pytest.approx(0, abs=0.03)
    shifted = fit(odds - 3, labels)
    assert shifted.intercept == pytest.approx(found.intercept + 3 * found.slope, abs=0.01)


def test_fit_has_the_least_loss_of_a_grid():
    odds, labels = drawn(2000, 2.0, -1.0, seed=3)
    found = fit(odds, labels)
    best = log_loss(found.confidence(odds), labels)
    for slope in np.linspace(0.1, 4, 14):
        for intercept in np.linspace(-3, 3, 13):
            assert best <= log_loss(Calibration(slope, intercept).confidence(odds), labels) + 1e-6


@pytest.mark.parametrize("labels", [[True] * 3, [False] * 3, []])
def test_without_both_answers_nothing_changes(labels):
    assert fit(np.arange(len(labels), dtype=float), np.array(labels, bool)) == Calibration(1, 0)


def test_the_order_stays_whatever_the_answers_were():
    odds = np.linspace(-3, 3, 50)
    found = fit(odds, odds < 0)  # the discriminator is wrong throughout
    assert found.slope > 0
    assert (np.diff(found.confidence(odds)) >= 0).all()
    assert fit(odds, odds > 0).slope < math.inf


def test_confidence_is_the_logistic_function():
    found = Calibration(2, -1).confidence(np.array([0.5, 1, -500, 500], np.float32))
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-1)), 0, 1])


LABELS = np.array([1, 1, 0, 0, 0, 0], bool)
CONFIDENCES = np.array([0.95, 0.25, 0.91, 0.25, 0.21, 0.05], np.float32)


def test_reliability_by_hand():
    """Two Yes of weight 1/4 each, four No of 1/8 each."""
    assert balanced_weights(LABELS).tolist() == [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]
    low, middle, high = reliability(CONFIDENCES, LABELS)
    assert [(row.low, row.high, row.pairs, row.hits) for row in (low, middle, high)] == [
        (0.0, 0.1, 1, 0.0),
        (0.2, pytest.approx(0.3), 3, pytest.approx(1 / 3)),
        (0.9, 1.0, 2, 0.5),
    ]
    assert [row.weight for row in (low, middle, high)] == [0.125, 0.5, 0.375]
    assert [row.observed for row in (low, middle, high)] == pytest.approx([0, 1 / 2, 2 / 3])
    assert [row.confidence for row in (low, middle, high)] == pytest.approx([0.05, 0.24, (2 * 0.95 + 0.91) / 3])
    error = 0.125 * 0.05 + 0.5 * (0.5 - 0.24) + 0.375 * ((2 * 0.95 + 0.91) / 3 - 2 / 3)
    assert expected_calibration_error(CONFIDENCES, LABELS) == pytest.approx(error)


def test_a_confidence_of_one_is_in_the_last_bin():
    (row,) = reliability(np.ones(2, np.float32), np.array([True, False]))
    assert (row.low, row.high, row.observed) == (0.9, 1.0, 0.5)


def test_log_loss_by_hand():
    labels = np.array([True, False, False])
    found = log_loss(np.array([0.5, 0.25, 0.5]), labels)
    assert found == pytest.approx(-(math.log(0.5) / 2 + (math.log(0.75) + math.log(0.5)) / 4))
    assert math.isfinite(log_loss(np.array([0.0, 1.0, 1.0]), labels))


def test_figures_come_from_users_that_had_no_say():
    odds, labels = drawn(20_000, 0.4, 0.0, seed=5)
    users = np.arange(len(odds)) // 10
    calibration, figures = calibrate(odds, labels, users)
    fitting = fitting_half(users)
    assert 0.45 < fitting.mean() < 0.55
    assert fitting[:7000].tolist() == fitting_half(users[:7000]).tolist()  # by the row alone
    assert calibration == fit(odds[fitting], labels[fitting])
    assert figures["fitted_users"] + figures["measured_users"] == len(np.unique(users))
    after = calibration.confidence(odds[~fitting])
    assert figures["log_loss_after"] == log_loss(after, labels[~fitting])
    errors = [figures["error_before"], figures["error_after"]]
    assert errors == [pytest.approx(0.17, abs=0.05), pytest.approx(0, abs=0.03)]
    others = labels.copy()
    others[~fitting] = ~others[~fitting]
    assert calibrate(odds, others, users)[0] == calibration


def test_saved_and_loaded(tmp_path):
    path = tmp_path / "calibration.json"
    assert Calibration.load(path, "") == Calibration(1, 0)  # there was no validation split
    Calibration(0.25, -1.5).save(path)
    assert Calibration.load(path, "") == Calibration(0.25, -1.5)
    for damaged in ("", "{}", '{"slope": "x", "intercept": 0}', "[1, 2]"):
        path.write_text(damaged)
        with pytest.raises(ArtifactError, match="damaged: run it again"):
            Calibration.load(path, "run it again")
