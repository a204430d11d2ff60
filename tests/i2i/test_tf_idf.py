"""TF-IDF against a dense twin: what the text model ranks by and what the discriminator reads are the same cosines."""

from __future__ import annotations

import numpy as np
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.model_options import TextOptions
from llmi2i_cli.i2i import text
from llmi2i_cli.i2i.pair_products import PairProducts
from llmi2i_cli.i2i.tf_idf import tf_idf
from llmi2i_cli.i2i.training import Job


def cosines(texts, pairs):
    return PairProducts(*tf_idf(texts)).of(np.array(pairs, np.int32).reshape(-1, 2))


def dense_cosine(texts):
    """A dense TF-IDF matrix of distinct words, rows of length 1, times its transpose."""
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
    found = cosines(texts, [(i, j) for i in range(30) for j in range(30)]).reshape(30, 30)
    np.testing.assert_allclose(found, dense_cosine(texts), atol=1e-6)
    assert found[4].tolist() == [0] * 30  # a word that is everywhere tells nothing
    assert found[0, 0] == pytest.approx(1)


def test_words_have_no_case_and_no_punctuation():
    assert cosines(["Red, lamp!", "red LAMP", "chair"], [[0, 1], [0, 2]]) == pytest.approx([1, 0])


def test_scripts_without_spaces_are_compared_by_character():
    texts = ["日本語の辞書 A", "日本史の本", "かばん"]
    spaced = ["日 本 語 の 辞 書 a", "日 本 史 の 本", "か ば ん"]
    found = cosines(texts, [[0, 1], [0, 2], [1, 2]])
    np.testing.assert_allclose(found, dense_cosine(spaced)[[0, 0, 1], [1, 2, 2]], atol=1e-6)
    assert found[0] > 0.1


@pytest.mark.parametrize("texts", [["", "", ""], [None, None, None]])
def test_a_catalogue_without_texts(texts):
    assert cosines(texts, [[0, 1], [2, 2]]).tolist() == [0, 0]
    assert cosines(texts, []).shape == (0,)


def test_the_model_ranks_by_the_cosines_that_the_discriminator_reads():
    rng = np.random.default_rng(1)
    texts = [" ".join(f"w{w}" for w in rng.integers(0, 20, rng.integers(1, 7))) for _ in range(25)]
    neighbours = text.train(Job(Histories.from_rows([], 25), top_k=24, texts=texts), TextOptions()).neighbours
    items, places = np.nonzero(neighbours.ids >= 0)
    found = cosines(texts, np.stack([items, neighbours.ids[items, places]], axis=1))
    np.testing.assert_array_equal(found, neighbours.scores[items, places])
    assert len(items) > 100
