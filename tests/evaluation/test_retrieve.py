"""Retrieval against a plain-Python twin that sums dictionaries and sorts."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.evaluation.retrieve import rank_one, retrieve
from llmi2i_cli.i2i.neighbours import Neighbours, tie_ranks


def plain_ranking(neighbours, query, *, recent, top_n, exclude=(), decay=1.0):
    """What `retrieve` promises for one query: [(item, score)], and the number of retrieved items."""
    sums: dict[int, float] = {}
    for age, item in enumerate(reversed(query[max(0, len(query) - recent) :])):
        for neighbour, score in zip(neighbours.ids[item].tolist(), neighbours.scores[item].tolist(), strict=True):
            if neighbour >= 0:
                sums[neighbour] = sums.get(neighbour, 0.0) + decay**age * score
    sums = {item: score for item, score in sums.items() if item not in exclude}
    ranks = tie_ranks(neighbours.n_items)
    ranked = sorted(sums, key=lambda item: (-sums[item], ranks[item]))[:top_n]
    return [(item, sums[item]) for item in ranked], len(sums)


def random_index(rng, n_items, k, *, score_levels):
    """Rows of distinct neighbours; few score levels (quarters, exact in binary) make many ties."""
    ids = np.full((n_items, k), -1, np.int32)
    scores = np.zeros((n_items, k), np.float32)
    for item in range(n_items):
        n = rng.integers(0, min(k, n_items - 1) + 1)
        ids[item, :n] = rng.permutation([other for other in range(n_items) if other != item])[:n]
        scores[item, :n] = np.sort(rng.integers(1, score_levels + 1, n) / 4)[::-1]
    return Neighbours(ids, scores)


def random_histories(rng, n_users, n_items, longest):
    return Histories.from_rows(
        [rng.integers(0, n_items, rng.integers(0, longest)).tolist() for _ in range(n_users)], n_items
    )


@pytest.mark.parametrize("n_items, k, longest", [(1, 1, 3), (7, 3, 9), (40, 10, 30), (3000, 8, 12)])
@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_equals_the_plain_twin(n_items, k, longest, decay):
    rng = np.random.default_rng(n_items)
    neighbours = random_index(rng, n_items, k, score_levels=3)
    queries = random_histories(rng, 60, n_items, longest)
    exclude = random_histories(rng, 60, n_items, longest)
    found = retrieve(neighbours, queries, recent=5, top_n=6, exclude=exclude, decay=decay)
    for user in range(queries.n_users):
        expected, n_retrieved = plain_ranking(
            neighbours,
            queries.row(user).tolist(),
            recent=5,
            top_n=6,
            exclude=set(exclude.row(user).tolist()),
            decay=decay,
        )
        assert found.n_retrieved[user] == n_retrieved
        assert found.ids[user, : len(expected)].tolist() == [item for item, _ in expected]
        assert (found.ids[user, len(expected) :] == -1).all()
        assert found.scores[user, : len(expected)].tolist() == pytest.approx([score for _, score in expected], rel=1e-6)
        assert (found.scores[user, len(expected) :] == 0).all()


def test_a_repeated_item_counts_twice_and_only_the_most_recent_are_looked_up():
    neighbours = Neighbours(np.array([[2], [3], [-1], [-1]], np.int32), np.array([[1], [1.5], [0], [0]], np.float32))
    queries = Histories.from_rows([[1, 0, 0], [0, 0, 1]], 4)
    found = retrieve(neighbours, queries, recent=2, top_n=2)
    assert found.ids.tolist() == [[2, -1], [3, 2]]
    assert found.scores.tolist() == [[2, 0], [1.5, 1]]
    assert found.n_retrieved.tolist() == [1, 2]


def test_items_whose_indices_share_their_low_bits_do_not_collide_wrongly():
    n_items = 1 << 16
    strided = np.arange(0, n_items, 1 << 10, dtype=np.int32)  # 64 items, equal in the low ten bits
    ids = np.full((n_items, len(strided)), -1, np.int32)
    ids[[5, 6]] = strided
    scores = np.zeros(ids.shape, np.float32)
    scores[[5, 6]] = np.arange(len(strided), 0, -1)
    found = retrieve(Neighbours(ids, scores), Histories.from_rows([[5, 6]], n_items), recent=2, top_n=64)
    assert found.ids[0].tolist() == strided.tolist()
    assert found.scores[0].tolist() == [2.0 * score for score in range(64, 0, -1)]


def test_ties_follow_the_fixed_order_of_items_and_not_the_order_of_appearance():
    n_items = 50
    ids = np.full((n_items, n_items - 1), -1, np.int32)
    ids[0] = np.arange(1, n_items)
    scores = np.full(ids.shape, 0.3, np.float32)
    found = retrieve(Neighbours(ids, scores), Histories.from_rows([[0]], n_items), recent=1, top_n=10)
    by_tie_rank = np.argsort(tie_ranks(n_items))
    assert found.ids[0].tolist() == by_tie_rank[by_tie_rank != 0][:10].tolist()


def test_equal_for_any_number_of_threads():
    rng = np.random.default_rng(3)
    neighbours = random_index(rng, 60, 20, score_levels=50)
    queries = random_histories(rng, 333, 60, 20)
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            results.append(retrieve(neighbours, queries, recent=10, top_n=15, exclude=queries, decay=0.9))
    finally:
        numba.set_num_threads(before)
    assert results[0].ids.tobytes() == results[1].ids.tobytes()
    assert results[0].scores.tobytes() == results[1].scores.tobytes()
    assert results[0].n_retrieved.tobytes() == results[1].n_retrieved.tobytes()


@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_one_query_ranks_as_all_do(decay):
    rng = np.random.default_rng(4)
    neighbours = random_index(rng, 200, 12, score_levels=4)
    queries = random_histories(rng, 40, 200, 15)
    together = retrieve(neighbours, queries, recent=15, top_n=9, exclude=queries, decay=decay)
    for user in range(40):
        row = queries.row(user)
        ids, scores = rank_one(
            neighbours.ids, neighbours.scores, tie_ranks(200), row, exclude=row, top_n=9, decay=decay
        )
        filled = (together.ids[user] != -1).sum()
        assert ids.tolist() == together.ids[user, :filled].tolist()
        assert scores.tolist() == together.scores[user, :filled].tolist()


def test_nobody_asks():
    neighbours = Neighbours(np.array([[1], [0]], np.int32), np.ones((2, 1), np.float32))
    found = retrieve(neighbours, Histories.from_rows([], 2), recent=3, top_n=4)
    assert found.ids.shape == (0, 4)


def test_misaligned_exclusions_are_refused():
    neighbours = Neighbours(np.array([[1], [0]], np.int32), np.ones((2, 1), np.float32))
    with pytest.raises(ValueError, match="exclude has 1 rows, queries have 2"):
        retrieve(
            neighbours, Histories.from_rows([[0], [1]], 2), recent=1, top_n=1, exclude=Histories.from_rows([[0]], 2)
        )
