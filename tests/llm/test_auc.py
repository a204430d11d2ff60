from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from llmi2i_cli.llm.auc import user_aucs, within_user_auc


def test_within_user_auc_against_all_pairs():
    rng = np.random.default_rng(0)
    ptr = np.concatenate([[0], np.cumsum(rng.integers(0, 7, 30))])
    scores = rng.integers(0, 4, ptr[-1]).astype(float)  # many ties
    labels = rng.random(ptr[-1]) < 0.4
    areas = []
    for start, end in pairwise(ptr):
        pairs = [
            (scores[y] > scores[n]) + (scores[y] == scores[n]) / 2
            for y in range(start, end)
            for n in range(start, end)
            if labels[y] and not labels[n]
        ]
        areas += [sum(pairs) / len(pairs)] if pairs else []
    assert 5 < len(areas) < 30
    each = user_aucs(scores, labels, ptr)
    assert each.shape == (30,)
    assert each[~np.isnan(each)].tolist() == pytest.approx(areas)
    assert within_user_auc(scores, labels, ptr) == pytest.approx(np.mean(areas))


def test_within_user_auc_by_hand():
    labels = np.array([True, False, False, True, True])
    assert within_user_auc(np.array([3.0, 1, 2, 0, 0]), labels, np.array([0, 3, 5])) == 1
    assert within_user_auc(np.array([1.0, 1, 2, 0, 0]), labels, np.array([0, 3, 5])) == 0.25
    assert math.isnan(within_user_auc(np.zeros(5), labels, np.array([0, 1, 3, 5])))
    assert math.isnan(within_user_auc(np.zeros(0), labels[:0], np.array([0])))
