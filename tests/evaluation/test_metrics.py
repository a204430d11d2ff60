"""Metrics as hand-made fractions."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.evaluation.metrics import coverage, distinct_items, per_user_metrics, rank_of_targets, shares

RANKED = np.array(
    [
        [4, 2, 0, 1],  # one target, in place 3
        [3, 5, 1, -1],  # three targets, two of them found, in places 1 and 3
        [0, -1, -1, -1],  # one target, not found
        [2, 3, 4, 5],  # no target
    ],
    np.int32,
)
TARGETS = Histories.from_rows([[0], [3, 1, 2], [5], []], 6)


def values(metrics, name):
    return metrics.values[:, metrics.names.index(name)].tolist()


def test_ranks_of_targets():
    assert rank_of_targets(RANKED, TARGETS).tolist() == [3, 1, 3, 0, 0]


def test_metrics_by_hand():
    metrics = per_user_metrics(rank_of_targets(RANKED, TARGETS), TARGETS, ks=(2, 3))
    assert metrics.users.tolist() == [0, 1, 2]  # the fourth user has nothing to find
    assert values(metrics, "recall@2") == pytest.approx([0, 1 / 3, 0])
    assert values(metrics, "recall@3") == pytest.approx([1, 2 / 3, 0])
    assert values(metrics, "ndcg@2") == pytest.approx([0, 1 / (1 + 1 / log2(3)), 0])
    assert values(metrics, "ndcg@3") == pytest.approx([1 / 2, (1 + 1 / 2) / (1 + 1 / log2(3) + 1 / 2), 0])
    assert values(metrics, "mrr@2") == pytest.approx([0, 1, 0])
    assert values(metrics, "mrr@3") == pytest.approx([1 / 3, 1, 0])
    assert metrics.means()["recall@3"] == pytest.approx((1 + 2 / 3) / 3)
    assert (metrics.n_targets, metrics.hits) == (5, {"hits@2": 1, "hits@3": 3})


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_plain_ones(seed):
    """Sets and sums in plain Python, on random rankings and groups; users without targets, targets without a rank."""
    rng = np.random.default_rng(seed)
    n_items, ks = 30, (1, 4, 10)
    ranked = np.stack([rng.permutation(n_items)[:12] for _ in range(50)]).astype(np.int32)
    ranked[::3, 7:] = -1
    targets = distinct_items(
        Histories.from_rows([rng.integers(0, n_items, rng.integers(0, 9)).tolist() for _ in range(50)], n_items)
    )
    group = rng.random(n_items) < 0.4
    metrics = per_user_metrics(rank_of_targets(ranked, targets), targets, ks=ks, relevant=group)
    expected: dict[int, list[float]] = {}
    for user in range(50):
        relevant = {item for item in targets.row(user).tolist() if group[item]}
        if not relevant:
            continue
        expected[user] = []
        for k in ks:
            hits = [rank for rank, item in enumerate(ranked[user, :k].tolist(), start=1) if item in relevant]
            ideal = sum(1 / log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
            expected[user] += [
                len(hits) / len(relevant),
                sum(1 / log2(rank + 1) for rank in hits) / ideal,
                1 / hits[0] if hits else 0,
            ]
    assert metrics.users.tolist() == list(expected)
    assert metrics.values == pytest.approx(np.array(list(expected.values())))


def test_more_relevant_items_than_places_can_still_be_perfect_in_ndcg():
    targets = Histories.from_rows([[0, 1, 2]], 4)
    metrics = per_user_metrics(rank_of_targets(np.array([[2, 0]], np.int32), targets), targets, ks=(2,))
    assert metrics.values[0].tolist() == pytest.approx([2 / 3, 1, 1])


def test_a_group_of_items_counts_only_its_own_targets_in_the_ranking_of_all():
    long_tail = np.array([False, True, True, False, False, False])
    metrics = per_user_metrics(rank_of_targets(RANKED, TARGETS), TARGETS, ks=(3,), relevant=long_tail)
    assert metrics.users.tolist() == [1]  # only the second user has such targets: 1 in place 3, and 2 nowhere
    assert metrics.values[0].tolist() == pytest.approx([1 / 2, (1 / 2) / (1 + 1 / log2(3)), 1 / 3])
    assert (metrics.n_targets, metrics.hits) == (2, {"hits@3": 1})


def test_a_group_without_targets_has_no_users():
    metrics = per_user_metrics(rank_of_targets(RANKED, TARGETS), TARGETS, ks=(3,), relevant=np.zeros(6, bool))
    assert metrics.users.tolist() == []
    assert metrics.means() == {"recall@3": 0.0, "ndcg@3": 0.0, "mrr@3": 0.0}


def test_a_repeated_target_counts_once():
    once = distinct_items(Histories.from_rows([[5, 1, 5], [], [0, 0]], 6))
    assert [once.row(user).tolist() for user in range(3)] == [[1, 5], [], [0]]


def test_coverage_is_the_share_of_the_catalogue_in_the_first_k():
    assert coverage(RANKED, 1, 6) == 4 / 6  # 4, 3, 0, 2
    assert coverage(RANKED, 4, 6) == 1
    assert coverage(np.full((2, 3), -1, np.int32), 3, 6) == 0


def test_misaligned_rankings_are_refused():
    with pytest.raises(ValueError, match="2 rankings for 4 users"):
        rank_of_targets(RANKED[:2], TARGETS)


def test_shares_of_places_by_hand():
    members = np.array([True, False, False, True, False, False])  # items 0 and 3
    assert shares(RANKED, (1, 2, 4), members) == {"share@1": 2 / 4, "share@2": 3 / 7, "share@4": 4 / 12}
    assert shares(RANKED[:0], (2,), members) == {"share@2": 0}
