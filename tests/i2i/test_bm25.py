"""BM25 against implicit's weights and a dense product of them."""

import numba
import numpy as np
import pytest
from implicit.nearest_neighbours import BM25Recommender, bm25_weight
from scipy.sparse import coo_matrix

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.errors import UsageError
from llmi2i_cli.i2i import slices
from llmi2i_cli.i2i.bm25 import bm25_neighbours, bm25_pairs, bm25_rows
from llmi2i_cli.i2i.neighbours import EMPTY, tie_ranks
from llmi2i_cli.i2i.row_job import rank_rows
from tests.i2i.test_swing import dense, random_log


def user_items(histories):
    """Users by items; repeats are added."""
    weights = np.ones(len(histories.items)) if histories.weights is None else histories.weights.astype(float)
    shape = (histories.n_users, histories.n_items)
    return coo_matrix((weights, (histories.user_of_each(), histories.items)), shape).tocsr()


def implicit_weights(histories, k1=1.2, b=0.75):
    return bm25_weight(user_items(histories).T.tocsr(), k1, b).toarray()  # (n_items, n_users)


def without_diagonal(scores):
    return scores * ~np.eye(len(scores), dtype=bool)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k1, b", [(1.2, 0.75), (100.0, 0.8), (0.5, 0.0), (0.0, 1.0)])
def test_every_score_is_that_of_implicits_weights(weighted, k1, b):
    for seed in range(5):
        histories = random_log(seed, n_items=(3, 30, 120)[seed % 3])
        if weighted:
            weights = np.random.default_rng(seed).choice([1e-6, 0.3, 1, 5], len(histories.items)).astype(np.float32)
            histories = Histories(histories.ptr, histories.items, histories.n_items, weights)
        weights = implicit_weights(histories, k1, b)
        neighbours = bm25_neighbours(histories, top_k=histories.n_items, k1=k1, b=b)
        np.testing.assert_allclose(dense(neighbours), without_diagonal(weights @ weights.T), rtol=1e-5, atol=1e-30)


@pytest.mark.filterwarnings("ignore::implicit.utils.ParameterWarning")
def test_the_k_neighbours_are_implicits_k_plus_one_without_the_item_itself():
    histories = random_log(11, n_users=400, n_items=150, mean=10.0)
    model = BM25Recommender(K=21, K1=1.2, B=0.75, num_threads=1)
    model.fit(user_items(histories), show_progress=False)
    neighbours = bm25_neighbours(histories, top_k=20)
    compared = 0
    for item in range(histories.n_items):
        ids, scores = model.similar_items(item, N=21)
        if item not in ids:  # crowded out: implicit then has K others, or the item has nobody
            continue
        compared += 1
        others = np.sort(scores[ids != item])[::-1]
        np.testing.assert_allclose(neighbours.scores[item, : len(others)], others, rtol=1e-5)
        assert (neighbours.ids[item] != item).all()
        if len(others) == 20:
            assert (neighbours.ids[item] != EMPTY).all()
    assert compared > 100


def test_hand_fractions():
    # 4 items of 3, 2, 1 and 0 interactions; the mean is 3 / 2; idf = log(4 / (1 + |I_u|))
    histories = Histories.from_rows([[0, 1, 2], [0, 1], [0]], 4)
    idf = np.log([4 / 4, 4 / 3, 4 / 2])
    norm = 1 - 0.75 + 0.75 * np.array([3, 2]) / 1.5
    saturated = 2.2 / (1 + 1.2 * norm)
    neighbours = bm25_neighbours(histories, top_k=3)
    assert neighbours.ids.tolist() == [[1, EMPTY, EMPTY], [0, EMPTY, EMPTY], [EMPTY] * 3, [EMPTY] * 3]
    np.testing.assert_allclose(neighbours.scores[0, 0], saturated[0] * saturated[1] * idf[1] ** 2, rtol=1e-6)


def test_a_repeat_is_an_interaction_of_weight_two():
    repeated = Histories.from_rows([[0, 1, 0], [1, 0], [2, 3]], 5)
    summed = Histories(
        np.array([0, 2, 4, 6]), np.array([0, 1, 1, 0, 2, 3], np.int32), 5, np.array([2, 1, 1, 1, 1, 1], np.float32)
    )
    assert bm25_neighbours(repeated).scores.tobytes() == bm25_neighbours(summed).scores.tobytes()


def test_weights_of_zero_add_nothing():
    weights = np.array([1, 0, 1, 1, 0, 0], np.float32)
    histories = Histories(np.array([0, 2, 4, 6]), np.array([0, 1, 0, 2, 3, 4], np.int32), 6, weights)
    for k1 in (0.0, 1.2):
        neighbours = bm25_neighbours(histories, top_k=2, k1=k1)
        assert neighbours.ids[:, 0].tolist() == [2, EMPTY, 0, EMPTY, EMPTY, EMPTY]
        assert np.isfinite(neighbours.scores).all()


@pytest.mark.parametrize(
    "rows, n_items", [([], 3), ([[]], 0), ([[], []], 2), ([[0]], 1), ([[0, 0]], 1), ([[0], [0], [1]], 2)]
)
def test_logs_without_pairs(rows, n_items):
    neighbours = bm25_neighbours(Histories.from_rows(rows, n_items), top_k=5)
    assert neighbours.ids.shape == (n_items, 5)
    assert (neighbours.ids == EMPTY).all() and not neighbours.scores.any()


def test_ties_follow_the_tie_ranks():
    histories = Histories.from_rows([[0, 1, 2, 3], [3, 2, 1, 0], [4]], 12)
    ranks = tie_ranks(12)
    assert bm25_neighbours(histories, top_k=2).ids[0].tolist() == sorted((1, 2, 3), key=lambda i: ranks[i])[:2]


def test_the_same_bytes_with_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(slices, "COST_PER_SLICE", 50)
    histories = random_log(5, n_users=300, n_items=80, mean=10.0, weighted=True)
    results = set()
    for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(threads)
        neighbours = bm25_neighbours(histories)
        results.add(neighbours.ids.tobytes() + neighbours.scores.tobytes())
    assert len(results) == 1


def test_progress_ends_at_the_total(monkeypatch):
    monkeypatch.setattr(slices, "COST_PER_SLICE", 50)
    seen = []
    rank_rows(bm25_rows(random_log(7, n_users=100), top_k=9), lambda done, total: seen.append((done, total)))
    assert len(seen) > 10 and seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_similarity_of_pairs(weighted):
    rng = np.random.default_rng(3)
    for seed in range(5):
        histories = random_log(seed, weighted=weighted)
        weights = np.nan_to_num(implicit_weights(histories))
        pairs = rng.integers(0, histories.n_items, (300, 2), dtype=np.int32)
        without = rng.integers(-1, histories.n_users, 300, dtype=np.int32)
        scores = (weights @ weights.T)[pairs[:, 0], pairs[:, 1]]
        np.testing.assert_allclose(bm25_pairs(histories).of(pairs), scores, rtol=1e-5, atol=1e-30)
        own = weights[pairs[:, 0], without] * weights[pairs[:, 1], without] * (without >= 0)
        left = bm25_pairs(histories).of(pairs, without_users=without)
        np.testing.assert_allclose(left, scores - own, rtol=1e-5, atol=1e-6)
        assert (left >= 0).all()


def test_the_similarity_of_no_pairs():
    assert bm25_pairs(random_log(0)).of(np.empty((0, 2), np.int32)).shape == (0,)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"top_k": 0}, "top-k must be at least 1, not 0"),
        ({"k1": -1.0}, "k1 must be at least 0 and b from 0 to 1, not k1 = -1.0 and b = 0.75"),
        ({"k1": float("nan")}, "k1 must be at least 0"),
        ({"b": 1.5}, "k1 must be at least 0 and b from 0 to 1, not k1 = 1.2 and b = 1.5"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UsageError, match=message):
        bm25_neighbours(random_log(0), **options)
