from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from llmi2i_cli.plots.evaluation import evaluation_figures, gains_by_group, largest_k
from llmi2i_cli.plots.gains import Gain


def told(recall, share, **more):
    """What `evaluate` tells of two groups with targets, and one without."""
    return {
        "targets": {"0": 0, "1": 4, "2+": 12},
        "metrics": {"0": {"recall@10": None}, "1": {"recall@10": recall}, "2+": {"recall@10": 2 * recall}},
        "intervals": {
            "0": {"recall@10": None},
            "1": {"recall@10": [recall / 2, 2 * recall]},
            "2+": {"recall@10": [recall, 3 * recall]},
        },
        "shares": {"0": {"share@10": 0.0}, "1": {"share@10": share}, "2+": {"share@10": 1 - share}},
        **more,
    }


GAINS = {
    "gain": {"0": {"recall@10": None}, "1": {"recall@10": -0.5}, "2+": {"recall@10": 0.25}},
    "gain_intervals": {"0": {"recall@10": None}, "1": {"recall@10": None}, "2+": {"recall@10": [0.1, 0.4]}},
}
EVALUATION = {
    "model": "bm25",
    "data": "fused",
    "split": "test",
    "metrics": {"all": {"recall@5": 0.1, "recall@10": 0.2}},
    "gain": {"all": {"recall@10": 0.1}, "long_tail": {"recall@10": 0.2}},
    "gain_intervals": {"all": {"recall@10": [-0.1, 0.3]}, "long_tail": {"recall@10": [0.1, 0.3]}},
    "by_train_count": told(0.1, 0.75, **GAINS),
    "baseline": {"model": "bm25", "data": "real", "by_train_count": told(0.2, 0.5)},
}
ALONE = {
    **{key: EVALUATION[key] for key in ("model", "split", "metrics")},
    "data": "real",
    "by_train_count": told(0.2, 0.5),
}


def test_recall_by_popularity_with_its_intervals():
    figure = evaluation_figures(EVALUATION)["recall-by-popularity"]
    [axis] = figure.axes
    assert {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axis.get_lines()} == {
        "real log": [0.2, 0.4],
        "fused log": [0.1, 0.2],
    }
    intervals = [
        [tuple(end[1] for end in segment) for segment in each.get_segments()]
        for each in axis.collections
        if isinstance(each, LineCollection)
    ]
    assert intervals == [[(0.1, 0.4), (0.2, pytest.approx(0.6))], [(0.05, 0.2), (0.1, pytest.approx(0.3))]]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1\n4 targets", "2+\n12 targets"]
    assert axis.get_ylabel() == "Recall@10, with 95% interval"
    assert axis.get_xlabel() == "how often train has the item (interactions)"
    assert figure.get_suptitle() == "What is found, by popularity (BM25, test split)"


def test_the_popularity_of_what_is_recommended_beside_that_of_what_users_took():
    [axis] = evaluation_figures(EVALUATION)["recommended"].axes
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in axis.containers}
    assert heights == {
        "recommended: real log": [0, 0.5, 0.5],
        "recommended: fused log": [0, 0.75, 0.25],
        "what users took": [0, 0.25, 0.75],
    }
    assert axis.get_ylabel() == "share of the first 10 places"


def test_gains_are_filled_where_zero_is_outside_the_interval():
    assert gains_by_group(EVALUATION, 10) == [
        Gain("all", 0.1, [-0.1, 0.3]),
        Gain("long tail", 0.2, [0.1, 0.3]),
        Gain("1 times in train", -0.5, None),
        Gain("2+ times in train", 0.25, [0.1, 0.4]),
    ]
    [axis] = evaluation_figures(EVALUATION)["gains"].axes
    zero, *rows = axis.get_lines()
    assert np.asarray(zero.get_xdata()).tolist() == [0, 0]
    assert [np.asarray(interval.get_xdata()).tolist() for interval in rows[::2]] == [
        [-0.1, 0.3],
        [0.1, 0.3],
        [-0.5, -0.5],
        [0.1, 0.4],
    ]
    assert [np.asarray(point.get_xdata()).tolist() for point in rows[1::2]] == [[0.1], [0.2], [-0.5], [0.25]]
    filled = [point.get_markerfacecolor() == point.get_color() for point in rows[1::2]]
    assert filled == [False, True, False, True]
    assert [tick.get_text() for tick in axis.get_yticklabels()][:2] == ["all", "long tail"]
    assert [text.get_text() for text in axis.texts] == ["+10.0%", "+20.0%", "-50.0%", "+25.0%"]
    assert axis.yaxis_inverted()  # the first on top


def test_without_a_baseline_there_are_no_gains():
    figures = evaluation_figures(ALONE)
    assert list(figures) == ["recall-by-popularity", "recommended"]
    assert [line.get_label() for line in figures["recall-by-popularity"].axes[0].get_lines()] == ["real log"]
    assert largest_k(ALONE) == 10


def test_without_a_known_target_nothing_is_drawn():
    nothing = {"targets": {"1": 0}, "metrics": {"1": {"recall@10": None}}, "intervals": {"1": {"recall@10": None}}}
    figures = evaluation_figures({**ALONE, "by_train_count": {**nothing, "shares": {"1": {"share@10": 1.0}}}})
    [axis] = figures["recall-by-popularity"].axes
    assert [np.asarray(line.get_ydata()).tolist() for line in axis.get_lines()] == [[]]
    [axis] = figures["recommended"].axes
    assert [[bar.get_height() for bar in bars] for bars in axis.containers] == [[1.0], [0.0]]


def test_another_model_as_baseline_is_told_apart_by_its_name():
    baseline = {**EVALUATION["baseline"], "model": "blend"}
    figures = evaluation_figures({**EVALUATION, "baseline": baseline})
    names = [line.get_label() for line in figures["recall-by-popularity"].axes[0].get_lines()]
    assert names == ["Blend, real log", "BM25, fused log"]
    assert "over the Blend, real log" in figures["gains"].get_supxlabel()
