"""The rounds of `fuse --tune`: what they try, what is given, and what is tried once because it comes to the same."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.data.fusion import Candidates, Choice
from llmi2i_cli.data.fusion_search import combinations, first_choice, rounds

NOTHING = dict.fromkeys(
    ("strategy", "order", "recall_number", "min_confidence", "copied_history", "weight"), None
) | {"drop_real": 0.0}  # fmt: skip


@pytest.fixture
def candidates():
    """Ten users with the ranks 1 .. 4; confidences .00, .01, ... .39."""
    n = 40
    return Candidates(
        np.repeat(np.arange(10), 4),
        np.arange(n, dtype=np.int32),
        np.tile(np.arange(1, 5, dtype=np.int32), 10),
        (np.arange(n) / 100).astype(np.float32),
        np.ones(n, bool),
    )


def test_the_first_rounds_are_the_real_log_and_every_order_at_every_amount(candidates):
    alone, figure_5, *_ = rounds(candidates, NOTHING)
    start = first_choice(NOTHING)
    assert list(combinations(start, alone, candidates, NOTHING)) == [Choice("append", "rank", 0, 0.0)]
    thresholds = [0.0, *(float(np.quantile(candidates.confidences, share)) for share in (0.5, 0.75, 0.9))]
    expected = {
        Choice("append", "rank" if number == 4 else order, number, threshold)
        for order in ("rank", "confidence", "random")
        for number in (1, 3, 4)
        for threshold in thresholds
    }
    assert set(combinations(start, figure_5, candidates, NOTHING)) == expected
    assert len(expected) == (3 * 2 + 1) * 4


def test_later_rounds_vary_how_the_best_is_fused(candidates):
    *_, weighed, how, dropped = rounds(candidates, NOTHING | {"drop_real": None})
    best = Choice("append", "confidence", 3, 0.1)
    tried = list(combinations(best, weighed, candidates, NOTHING))
    assert len(set(tried)) == 2 * 3 * 4
    assert {(choice.order, choice.recall_number) for choice in tried} == {
        ("confidence", 1), ("confidence", 3), ("rank", 4)
    }  # fmt: skip
    assert {choice.strategy for choice in tried} == {"append"}
    assert {choice.weight for choice in tried} == {"one", "confidence"}
    tried = list(combinations(best, how, candidates, NOTHING))
    assert {(choice.strategy, choice.copied_history) for choice in tried} == {
        ("append", None), ("pseudo-user", 5), ("pseudo-user", None)
    }  # fmt: skip
    assert [choice.drop_real for choice in combinations(best, dropped, candidates, NOTHING)] == [
        0,
        0.01,
        0.02,
        0.05,
        0.1,
        0.2,
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "pseudo-user"),
        ("order", "random"),
        ("recall_number", 0),
        ("min_confidence", 0.0),
        ("copied_history", 2),
        ("weight", "confidence"),
    ],
)
def test_what_is_given_is_in_every_choice(candidates, name, value):
    given = {**NOTHING, "strategy": "pseudo-user", name: value}
    best = first_choice(given)
    for axes in rounds(candidates, given):
        found = list(combinations(best, axes, candidates, given))
        assert {getattr(choice, name) for choice in found} == {value}
        assert {choice.drop_real for choice in found} == {0.0}
        best = found[-1]


def test_without_candidates_there_is_little_to_try():
    nobody = Candidates(*(np.zeros(0, dtype) for dtype in (np.int64, np.int32, np.int32, np.float32, bool)))
    best = first_choice(NOTHING)
    assert [len(set(combinations(best, axes, nobody, NOTHING))) for axes in rounds(nobody, NOTHING)] == [1, 1, 1, 1, 1]
