"""What `train-i2i --model text` costs beside sparse_dot_topn: `python -m tests.benchmarks.text [--threads N]`.

The TF-IDF vectors of simulated titles (words by Zipf's law), times each other, the 200 best cosines of at least 0.05 a
title kept. Both get the vectors ready-made and as many threads; they take turns, each figure is the best of its runs.
The lists must be equal up to ties.
"""

from __future__ import annotations

import argparse
import time

import numba
import numpy as np
from scipy.sparse import csr_matrix
from sparse_dot_topn import sp_matmul_topn

from llmi2i_cli.choices.models import TextOptions
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.sparse_products import best_products
from llmi2i_cli.i2i.tf_idf import tf_idf
from tests.benchmarks.fair import take_turns

TOP_K = 200
SMALLEST = TextOptions.min_similarity
WORDS_PER_TITLE = 8
CHECKED_TITLES = 1000


def simulated_titles(n_titles: int, n_words: int, seed: int = 0) -> list[str]:
    """Titles of `WORDS_PER_TITLE` independent draws from `n_words` words of Zipf's frequencies."""
    rng = np.random.default_rng(seed)
    chances = np.cumsum(1 / np.arange(1, n_words + 1))
    words = np.searchsorted(chances / chances[-1], rng.random((n_titles, WORDS_PER_TITLE)))
    return [" ".join(f"w{word}" for word in title) for title in words]


def compare_text(titles: list[str], runs: int, threads: int) -> None:
    numba.set_num_threads(threads)
    start = time.perf_counter()
    words, weights = tf_idf(titles)
    vectors_s = time.perf_counter() - start
    shape = (words.n_users, words.n_items)
    by_word = csr_matrix((weights, words.user_items, words.user_ptr), shape)
    by_title = by_word.T.tocsr()
    best_products(*tf_idf(titles[:100]), top_k=TOP_K, smallest=SMALLEST)  # compiles
    (peer_runs, cosines), (our_runs, neighbours) = take_turns(
        runs,
        # a title is among its own best there
        lambda: sp_matmul_topn(by_title, by_word, top_n=TOP_K + 1, threshold=SMALLEST, sort=True, n_threads=threads),
        lambda: best_products(words, weights, top_k=TOP_K, smallest=SMALLEST),
    )
    peer_s, ours_s = min(peer_runs), min(our_runs)
    check_lists(neighbours, cosines, words.item_order)
    print(
        f"{len(titles):,} titles of {WORDS_PER_TITLE} words, {words.n_users:,} different ones, {threads} threads\n"
        f"  vectors               {vectors_s:8.2f} s, for either\n"
        f"  the {TOP_K} best cosines  {ours_s:8.2f} s   {peer_s / ours_s:6.1f} x as fast as sparse_dot_topn's "
        f"({peer_s:.2f} s), lists equal up to ties"
    )


def check_lists(neighbours: Neighbours, cosines: csr_matrix, item_order: np.ndarray) -> None:
    """AssertionError unless some titles' scores are the same, and the neighbours that no tie can exchange."""
    for row in np.linspace(0, neighbours.n_items - 1, CHECKED_TITLES).astype(int):
        title = item_order[row]
        entries = slice(cosines.indptr[row], cosines.indptr[row + 1])
        others, scores = item_order[cosines.indices[entries]], cosines.data[entries]
        others, scores = others[others != title][:TOP_K], scores[others != title][:TOP_K]
        ours = neighbours.scores[title]
        np.testing.assert_allclose(ours[: len(scores)], scores, rtol=2e-6)
        assert not ours[len(scores) :].any()
        last = scores[-1] * (1 + 2e-6) if len(scores) == TOP_K else 0.0
        assert set(neighbours.ids[title][ours > last].tolist()) == set(others[scores > last].tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--titles", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=30_000, help="different words that titles are drawn from")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=numba.get_num_threads())
    options = parser.parse_args()
    compare_text(simulated_titles(options.titles, options.words), options.runs, options.threads)


if __name__ == "__main__":
    main()
