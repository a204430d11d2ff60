"""The top-K product against all products summed one after the other: the same bytes, whatever is not walked."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.i2i.incidence import Incidence, incidence
from llmi2i_cli.i2i.neighbours import Neighbours, ranking_key, tie_ranks
from llmi2i_cli.i2i.row_job import rank_rows
from llmi2i_cli.i2i.sparse_products import products


def zipf_words(seed: int, n_items: int, n_words: int, length: int) -> Incidence:
    """Items with up to `length` words of Zipf's frequencies, the first of which stands in most of them."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, n_words + 1)
    words = [
        np.unique(rng.choice(n_words, rng.integers(0, length + 1), p=chances / chances.sum())) for _ in range(n_items)
    ]
    rows: list[list[int]] = [[] for _ in range(n_words)]
    for item, of_item in enumerate(words):
        for word in of_item:
            rows[word].append(item)
    return incidence(Histories.from_rows(rows, n_items), repeats="sum")


def rarities(log: Incidence, scale: bool) -> np.ndarray:
    """A weight for each entry, larger for rare words; with `scale` each item's vector has length 1."""
    weights = np.repeat(np.log(log.n_items / np.maximum(log.lengths, 1)), log.lengths)
    norms = np.sqrt(np.bincount(log.user_items, weights**2, minlength=log.n_items))
    return weights / np.maximum(norms, 1e-9)[log.user_items] if scale else weights


def all_products(log, weights, *, top_k, norms=None, shrinkage=1.0, smallest=0.0):
    """The definition: every user adds to every pair, in the users' order; then each row is sorted."""
    total = np.zeros((log.n_items, log.n_items))
    for user in range(log.n_users):
        entries = slice(log.user_ptr[user], log.user_ptr[user + 1])
        items, row = log.user_items[entries], weights[entries]
        total[np.ix_(items, items)] += np.maximum(np.outer(row, row), 0)
    norms = np.zeros(log.n_items) if norms is None else norms
    found = Neighbours.empty(log.n_items, top_k)
    ranks = tie_ranks(log.n_items)
    for item in range(log.n_items):
        row = []
        for other in np.flatnonzero(total[item]):
            score = total[item, other] / (norms[item] * norms[other] + shrinkage)
            if other != item and score >= smallest:
                neighbour = log.item_order[other]
                row.append((ranking_key(score, ranks[neighbour]), neighbour, score))
        for rank, (_, neighbour, score) in enumerate(sorted(row, reverse=True)[:top_k]):
            found.ids[log.item_order[item], rank] = neighbour
            found.scores[log.item_order[item], rank] = score
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("top_k", [1, 5, 40, 500])
@pytest.mark.parametrize("smallest", [0.0, 0.3])
def test_cosines_of_words_of_zipfs_frequencies(seed, top_k, smallest):
    log = zipf_words(seed, n_items=400, n_words=(30, 300)[seed % 2], length=(4, 12)[seed // 2])
    weights = rarities(log, scale=True)
    expected = all_products(log, weights, top_k=top_k, smallest=smallest)
    found = rank_rows(products(log, weights, top_k=top_k, smallest=smallest))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert (expected.ids >= 0).sum() > 300


@pytest.mark.parametrize("shrinkage", [0.0, 1e-9, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_products_divided_by_norms(seed, shrinkage):
    """Items without words have a norm of 0, and a product is divided by less than 1, and by much more."""
    log = zipf_words(seed, n_items=300, n_words=60, length=10)
    weights = rarities(log, scale=False)
    norms = np.sqrt(np.bincount(log.user_items, weights**2, minlength=log.n_items)) * 0.1
    options = {"top_k": 8, "norms": norms, "shrinkage": shrinkage}
    expected, found = all_products(log, weights, **options), rank_rows(products(log, weights, **options))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("frequent", [1e-12, 1e-3, 1.0, 5.0, -1.0, -5.0, 0.0])
def test_a_frequent_word_can_still_decide(frequent):
    """Products are what counts, not signs; what is bounded is what the frequent words can add at most."""
    log = zipf_words(1, n_items=300, n_words=40, length=8)
    rng = np.random.default_rng(1)
    of_word = np.append(rng.choice([1e-3, 1.0, 2.0], log.n_users - 3), [frequent, 0.1, frequent])
    weights = np.repeat(of_word, log.lengths) * rng.choice([0.1, 1.0], log.lengths.sum())
    expected, found = all_products(log, weights, top_k=6), rank_rows(products(log, weights, top_k=6))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("rows, n_items", [([], 0), ([], 3), ([[0, 1]], 2), ([[0, 1, 2]] * 3, 4)])
def test_fewer_words_than_count_as_frequent(rows, n_items):
    log = incidence(Histories.from_rows(rows, n_items), repeats="sum")
    weights = np.ones(len(log.user_items))
    found = rank_rows(products(log, weights, top_k=2))
    expected = all_products(log, weights, top_k=2)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
