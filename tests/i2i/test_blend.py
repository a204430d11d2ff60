"""A blend against sums in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.choices.blends import next_points, weights_of
from llmi2i_cli.choices.models import parts_of
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i.blend import blend_neighbours, scale_of
from llmi2i_cli.i2i.neighbours import Neighbours


def random_table(seed: int, n_items: int, k: int) -> Neighbours:
    rng = np.random.default_rng(seed)
    table = Neighbours.empty(n_items, k)
    for item in range(n_items):
        others = np.delete(np.arange(n_items), item)
        filled = rng.integers(0, k + 1)
        table.ids[item, :filled] = rng.choice(others, filled, replace=False)
        table.scores[item, :filled] = np.sort(rng.random(filled) * 9 * seed + 0.01)[::-1]
    return table


@pytest.mark.parametrize("weights", [(1.0, 0.4, 2.0), (1.0, 0.0, 0.5)])
def test_scores_are_the_weighted_sums_on_one_scale(weights):
    parts = [random_table(seed, 20, k) for seed, k in ((1, 5), (2, 9), (3, 1))]
    found = blend_neighbours(parts, weights, top_k=7)
    for item in range(20):
        sums: dict[int, float] = {}
        for part, weight in zip(parts, weights, strict=True):
            for other, score in zip(part.ids[item], part.scores[item], strict=True):
                if other >= 0 and weight > 0:
                    sums[other] = sums.get(other, 0) + weight * score / scale_of(part)
        expected = sorted(sums.items(), key=lambda pair: -pair[1])[:7]
        listed = found.ids[item] >= 0
        assert found.ids[item, listed].tolist() == [other for other, _ in expected]
        assert found.scores[item, listed] == pytest.approx([score for _, score in expected], rel=1e-5)


def test_the_scale_is_the_mean_of_the_best_scores_of_rows_that_have_any():
    table = Neighbours(np.array([[1, 2], [0, -1], [-1, -1]], np.int32), np.array([[4, 1], [2, 0], [0, 0]], np.float32))
    assert scale_of(table) == 3
    assert scale_of(Neighbours.empty(3, 2)) == 1


def test_the_search_changes_one_weight_at_a_time_and_never_the_first():
    best = {"parts": "bm25,text,ease", "weights": "1,0.4,2"}
    found = [point["weights"] for point in next_points(best, {})]
    assert found[:5] == ["1,0,2", "1,0.2,2", "1,0.28,2", "1,0.56,2", "1,0.8,2"]
    assert found[5:] == ["1,0.4,0", "1,0.4,1", "1,0.4,1.4", "1,0.4,2.8", "1,0.4,4"]
    assert next_points(best, {"weights": "1,0.4,2"}) == []


@pytest.mark.parametrize("weights", ["1", "1,2,3", "1,x", "1,-1", "0,0", "1,nan", "1,inf"])
def test_weights_that_cannot_be(weights):
    with pytest.raises(UsageError, match="--weights is a number of at least 0 for each of bm25,text"):
        weights_of("bm25,text", weights)


def test_parts_are_of_the_log_that_is_blended_but_for_those_that_read_none():
    assert parts_of("blend", {"parts": "bm25, text"}, "fused") == (("bm25", "fused"), ("text", "real"))
    assert parts_of("bm25", {}, "fused") == ()
    for parts in ("bm25", "bm25,bm25"):
        with pytest.raises(UsageError, match="names two or more different models"):
            parts_of("blend", {"parts": parts}, "real")
    with pytest.raises(UsageError, match=r"'blend' cannot be blended; swing, bm25, .* can"):
        parts_of("blend", {"parts": "bm25,blend"}, "real")
