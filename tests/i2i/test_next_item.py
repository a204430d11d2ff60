"""The generator's expectations as a table, against softmaxes in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.i2i import next_item
from llmi2i_cli.i2i.neighbours import tie_ranks
from llmi2i_cli.i2i.next_item import next_item_neighbours

N_ITEMS = 15


def states_and_vectors() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    states, vectors = rng.normal(size=(2, N_ITEMS, 4)).astype(np.float32)
    vectors[9] = vectors[3]  # equally likely after any item
    return states, vectors


def probabilities(states: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    logits = states.astype(float) @ vectors.astype(float).T
    np.fill_diagonal(logits, -np.inf)
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("power, discount", [(1.0, 0.0), (0.5, 0.2), (0.7, 1.5)])
@pytest.mark.parametrize("block_bytes", [1, 4 * N_ITEMS * 4, 1 << 20])
def test_equals_the_formula(monkeypatch, power, discount, block_bytes):
    monkeypatch.setattr(next_item, "BLOCK_BYTES", block_bytes)
    told = []
    states, vectors = states_and_vectors()
    found = next_item_neighbours(
        states, vectors, power=power, discount=discount, top_k=N_ITEMS, on_progress=lambda *at: told.append(at)
    )
    after = probabilities(states, vectors)
    scores = after**power / (1 + after.sum(axis=0)) ** discount
    if discount == 0:
        scores[:, 9] = scores[:, 3]  # a tie, whatever rounding says
    ranks = tie_ranks(N_ITEMS)
    for item in range(N_ITEMS):
        likely = [other for other in range(N_ITEMS) if after[item, other] > 1 / (N_ITEMS - 1)]
        expected = sorted(likely, key=lambda other: (-scores[item, other], ranks[other]))
        assert found.ids[item, : len(expected)].tolist() == expected
        assert (found.ids[item, len(expected) :] == -1).all()
        assert found.scores[item, : len(expected)] == pytest.approx(scores[item, expected], rel=1e-4)
    assert told[-1] == (2 * N_ITEMS, 2 * N_ITEMS)


def test_what_is_expected_everywhere_counts_less_with_a_discount():
    vectors = np.array([[3, 1], [0, 2], [0, 0], [0, 0], [0, 0]], np.float32)
    states = np.array([[1, 0], [1, 0], [0.5, 1], [1, 0], [1, 0]], np.float32)  # item 0 is likely after all, 1 after 2
    plain, discounted = (
        next_item_neighbours(states, vectors, power=1.0, discount=discount, top_k=2) for discount in (0.0, 2.0)
    )
    assert plain.ids[2].tolist() == [0, 1]
    assert discounted.ids[2].tolist() == [1, 0]


def test_an_item_after_which_all_are_equally_likely_has_no_neighbours():
    states, vectors = states_and_vectors()
    states[6] = 0
    assert (next_item_neighbours(states, vectors, power=0.5, discount=0.2, top_k=5).ids[6] == -1).all()


@pytest.mark.parametrize("n_items", [0, 1])
def test_a_catalogue_without_pairs(n_items):
    nothing = np.zeros((n_items, 3), np.float32)
    assert (next_item_neighbours(nothing, nothing, power=1.0, discount=0.0, top_k=4).ids == -1).all()
