from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.i2i.feature_text import TfIdf


def series(texts):
    return pl.Series("text", texts, pl.String)


def dense_cosine(texts):
    """The twin: a dense TF-IDF matrix of distinct words, rows of length 1, times its transpose."""
    words = sorted({word for text in texts for word in text.split()})
    counts = np.array([[word in text.split() for word in words] for text in texts], float)
    vectors = counts * np.log(len(texts) / np.maximum(counts.sum(0), 1))
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(norms > 0, norms, 1)
    return vectors @ vectors.T


def test_it_is_the_cosine_of_tf_idf():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{w}" for w in rng.integers(0, 12, rng.integers(0, 7))) + " every" for _ in range(30)]
    texts[4] = "every"
    words = TfIdf(series(texts))
    pairs = np.array([(i, j) for i in range(30) for j in range(30)], np.int32)
    found = words.cosines(pairs).reshape(30, 30)
    np.testing.assert_allclose(found, dense_cosine(texts), atol=1e-6)
    assert found[4].tolist() == [0] * 30  # a word that is everywhere tells nothing
    assert found[0, 0] == pytest.approx(1)


def test_words_have_no_case_and_no_punctuation():
    words = TfIdf(series(["Red, lamp!", "red LAMP", "chair"]))
    assert words.cosines(np.array([[0, 1], [0, 2]], np.int32)) == pytest.approx([1, 0])


def test_scripts_without_spaces_are_compared_by_character():
    texts = ["日本語の辞書 A", "日本史の本", "かばん"]
    spaced = ["日 本 語 の 辞 書 a", "日 本 史 の 本", "か ば ん"]
    words = TfIdf(series(texts))
    found = words.cosines(np.array([[0, 1], [0, 2], [1, 2]], np.int32))
    np.testing.assert_allclose(found, dense_cosine(spaced)[[0, 0, 1], [1, 2, 2]], atol=1e-6)
    assert found[0] > 0.1


@pytest.mark.parametrize("texts", [["", "", ""], [None, None, None]])
def test_a_catalogue_without_texts(texts):
    words = TfIdf(series(texts))
    assert words.cosines(np.array([[0, 1], [2, 2]], np.int32)).tolist() == [0, 0]
    assert words.cosines(np.zeros((0, 2), np.int32)).shape == (0,)
