"""Exact nearest items against a sort of the whole product."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.i2i import dense_neighbours
from llmi2i_cli.i2i.dense_neighbours import cosine_neighbours, nearest_items
from llmi2i_cli.i2i.neighbours import tie_ranks


@pytest.mark.parametrize("block_bytes", [1, 4 * 30 * 7, 1 << 20])
def test_equals_sorting_the_whole_product(monkeypatch, block_bytes):
    monkeypatch.setattr(dense_neighbours, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    queries = rng.integers(-2, 3, (20, 4)).astype(np.float32)  # small integers: exact products, many ties
    items = rng.integers(-2, 3, (30, 4)).astype(np.float32)
    candidates = rng.random(30) < 0.8
    exclude = Histories.from_rows([rng.integers(0, 30, 3).tolist() for _ in range(20)], 30)
    ids, scores = nearest_items(queries, items, candidates, top_k=27, exclude=exclude)
    ranks = tie_ranks(30)
    for row in range(20):
        products = queries[row] @ items.T
        allowed = [item for item in range(30) if candidates[item] and item not in exclude.row(row)]
        expected = sorted(allowed, key=lambda item: (-products[item], ranks[item]))[:27]
        assert ids[row, : len(expected)].tolist() == expected
        assert scores[row, : len(expected)].tolist() == products[expected].tolist()
        assert (ids[row, len(expected) :] == -1).all()


def test_cosine_leaves_out_the_item_itself_the_opposite_and_the_unknown():
    vectors = np.array([[1, 0], [2, 2], [-1, 0], [0, 3], [5, 5], [0, 0]], np.float32)
    known = np.array([True, True, True, True, False, True])
    neighbours = cosine_neighbours(vectors, known, top_k=3)
    assert neighbours.ids.tolist() == [
        [1, -1, -1],
        [*sorted([0, 3], key=lambda item: tie_ranks(6)[item]), -1],  # both at 45 degrees
        [-1, -1, -1],  # everything lies at 90 degrees or more
        [1, -1, -1],
        [-1, -1, -1],
        [-1, -1, -1],
    ]
    assert neighbours.scores[0].tolist() == pytest.approx([2**-0.5, 0, 0])


def test_does_not_change_what_it_is_given():
    vectors = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    before = vectors.copy()
    cosine_neighbours(vectors, np.ones(9, bool), top_k=2)
    assert (vectors == before).all()
