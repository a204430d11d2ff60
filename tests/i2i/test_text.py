"""Text similarity against dense NumPy and hand-made words."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.words import split_words
from llmi2i_cli.choices.model_options import TextOptions
from llmi2i_cli.i2i.text import train
from llmi2i_cli.i2i.training import Job


def job(texts: list[str | None]) -> Job:
    return Job(Histories.from_rows([], len(texts)), top_k=len(texts), texts=texts)


def random_texts(seed: int) -> list[str | None]:
    rng = np.random.default_rng(seed)
    words = ["lamp", "red", "Red", "chair", "wood", "led", "desk", "x", "日本", "the"]
    return [None, "", *(" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(30))]


def dense_cosines(texts: list[str | None], options: TextOptions) -> np.ndarray:
    vocabulary = sorted({word for text in texts for word in split_words(text or "")})
    counts = np.array([[split_words(text or "").count(word) for word in vocabulary] for text in texts], float)
    lengths = counts.sum(axis=1, keepdims=True)
    norm = 1 - options.b + options.b * lengths / lengths.mean()
    with np.errstate(invalid="ignore"):
        saturated = np.nan_to_num(counts * (options.k1 + 1) / (counts + options.k1 * norm))
    rows = saturated * np.log(len(texts) / (counts > 0).sum(axis=0)) ** options.idf
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, 0)
    return np.where(cosines >= options.min_similarity, cosines, 0)


@pytest.mark.parametrize("options", [TextOptions(), TextOptions(k1=1.2, b=0.4, idf=0.5, min_similarity=0.3)])
def test_scores_are_the_cosines(options):
    texts = random_texts(1)
    expected = dense_cosines(texts, options)
    found = train(job(texts), options).neighbours
    scores = np.zeros_like(expected)
    for item in range(len(texts)):
        listed = found.ids[item] >= 0
        scores[item, found.ids[item, listed]] = found.scores[item, listed]
    assert scores == pytest.approx(expected, abs=1e-6)
    assert not found.scores[:2].any()  # an item without words has no neighbours
    assert not np.isin(found.ids, (0, 1)).any()


def test_a_rare_word_in_common_says_more_than_a_frequent_one():
    texts: list[str | None] = ["led lamp", "led desk", "oak lamp", *["lamp"] * 5]
    found = train(job(texts), TextOptions()).neighbours
    assert found.ids[0, 0] == 1


def test_a_repeated_word_counts_once_with_k1_0_and_more_with_a_larger_one():
    texts: list[str | None] = ["red red red lamp", "red", "lamp", "oak", "pine"]
    once = train(job(texts), TextOptions(k1=0)).neighbours
    assert once.scores[0, 0] == pytest.approx(once.scores[0, 1])
    often = train(job(texts), TextOptions(k1=2)).neighbours
    assert (often.ids[0, 0], often.scores[0, 0] > often.scores[0, 1]) == (1, True)
