"""What `train-i2i --model text` costs beside sparse_dot_topn: `python -m tests.benchmarks.text [--threads N]`.

The TF-IDF vectors of simulated titles (words by Zipf's law), times each other, the 200 best cosines of at least 0.05 a
title kept. Both get the vectors ready-made and as many threads; they take turns, each figure is the best of its runs.
The lists must be equal up to ties.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sparse_dot_topn import sp_matmul_topn

from llmi2i_cli.choices.model_options import TextOptions
from llmi2i_cli.i2i.neighbours import Neighbours
from llmi2i_cli.i2i.row_job import rank_rows
from llmi2i_cli.i2i.sparse_products import products
from llmi2i_cli.i2i.tf_idf import tf_idf
from tests.benchmarks import fair
from tests.benchmarks.fair import Comparison, Side, take_turns, threads
from tests.benchmarks.own_process import in_own_process

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


def compare_text(n_titles: int, n_words: int, runs: int) -> Comparison:
    words, weights = tf_idf(simulated_titles(n_titles, n_words))
    by_word = csr_matrix((weights, words.user_items, words.user_ptr), (words.n_users, words.n_items))
    by_title = by_word.T.tocsr()
    rank_rows(products(*tf_idf(simulated_titles(100, n_words)), top_k=TOP_K, smallest=SMALLEST))  # compiles
    (ours_s, neighbours), (peer_s, cosines) = take_turns(
        runs,
        lambda: rank_rows(products(words, weights, top_k=TOP_K, smallest=SMALLEST)),
        # a title is among its own best there
        lambda: sp_matmul_topn(by_title, by_word, top_n=TOP_K + 1, threshold=SMALLEST, sort=True, n_threads=threads()),
    )
    check_lists(neighbours, cosines, words.item_order)
    what = f"text, {n_titles:,} titles of {WORDS_PER_TITLE} words, {words.n_users:,} different ones, K = {TOP_K}"
    return Comparison(what, "sparse_dot_topn, equal lists up to ties", Side(ours_s), Side(peer_s))


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
    options = fair.parser(__doc__, ("text",), runs=3)
    options.add_argument("--titles", type=int, default=100_000)
    options.add_argument("--words", type=int, default=30_000, help="different words that titles are drawn from")
    given = fair.parse(options)
    row, _ = in_own_process(compare_text, given.titles, given.words, given.runs)
    fair.print_comparisons([row])


if __name__ == "__main__":
    main()
