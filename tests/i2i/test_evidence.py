from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.i2i.bm25 import bm25_similarity
from llmi2i_cli.i2i.evidence import DECAY, FEATURES, RECENT_ITEMS, Evidence


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


def test_text_similarity_is_the_cosine_of_tf_idf():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{w}" for w in rng.integers(0, 12, rng.integers(0, 7))) + " every" for _ in range(30)]
    texts[4] = "every"
    evidence = Evidence(Histories.from_rows([[0]], 30), series(texts))
    pairs = np.array([(i, j) for i in range(30) for j in range(30)], np.int32)
    found = evidence.text_similarity(pairs).reshape(30, 30)
    np.testing.assert_allclose(found, dense_cosine(texts), atol=1e-6)
    assert found[4].tolist() == [0] * 30  # a word that is everywhere tells nothing
    assert found[0, 0] == pytest.approx(1)


def test_words_have_no_case_and_no_punctuation():
    evidence = Evidence(Histories.from_rows([[0]], 3), series(["Red, lamp!", "red LAMP", "chair"]))
    assert evidence.text_similarity(np.array([[0, 1], [0, 2]], np.int32)) == pytest.approx([1, 0])


def test_scripts_without_spaces_are_compared_by_character():
    texts = ["日本語の辞書 A", "日本史の本", "かばん"]
    spaced = ["日 本 語 の 辞 書 a", "日 本 史 の 本", "か ば ん"]
    evidence = Evidence(Histories.from_rows([[0]], 3), series(texts))
    found = evidence.text_similarity(np.array([[0, 1], [0, 2], [1, 2]], np.int32))
    np.testing.assert_allclose(found, dense_cosine(spaced)[[0, 0, 1], [1, 2, 2]], atol=1e-6)
    assert found[0] > 0.1


@pytest.mark.parametrize("texts", [["", "", ""], [None, None, None]])
def test_a_catalogue_without_texts(texts):
    evidence = Evidence(Histories.from_rows([[0, 1]], 3), series(texts))
    assert evidence.text_similarity(np.array([[0, 1], [2, 2]], np.int32)).tolist() == [0, 0]
    assert evidence.text_similarity(np.zeros((0, 2), np.int32)).shape == (0,)


def test_features_one_by_one():
    rng = np.random.default_rng(1)
    n_items = 15
    rows = [rng.integers(0, n_items, n).tolist() for n in (8, 1, 3, 6, 2, 7, 5)]
    log = Histories.from_rows(rows, n_items)
    texts = [f"a{k % 3} b{k % 5} c{k}" for k in range(n_items)]
    contexts = Histories.from_rows([[3, 1, 4, 1, 5, 9, 2], [], [7], [2, 6]], n_items)
    context_of = np.array([0, 0, 1, 2, 3, 3, 0])
    users = np.array([0, 0, 3, 2, 5, 5, 6])
    candidates = np.array([0, 14, 3, 7, 10, 2, 1], np.int32)
    logprobs = -rng.random(7).astype(np.float32)
    ranks = np.arange(1, 8)
    found = Evidence(log, series(texts)).features(contexts, context_of, users, candidates, logprobs, ranks)
    assert found.dtype == np.float32
    assert found.shape == (7, len(FEATURES))
    cosine = dense_cosine(texts)
    for n, candidate in enumerate(candidates):
        recent = contexts.row(context_of[n])[::-1][:RECENT_ITEMS]
        pairs = np.array([[item, candidate] for item in recent], np.int32).reshape(-1, 2)
        without = np.full(len(pairs), users[n], np.int32)
        bm25 = bm25_similarity(log, pairs, without_users=without)
        decay = DECAY ** np.arange(len(recent))
        count = sum(row.count(candidate) for user, row in enumerate(rows) if user != users[n])
        expected = {
            "bm25": float(bm25 @ decay),
            "text": float(cosine[recent, candidate] @ decay),
            "popularity": math.log1p(count),
            "logprob": logprobs[n],
            "rank": math.log(ranks[n]),
        }
        assert dict(zip(FEATURES, found[n].tolist(), strict=True)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_users_own_vote_is_taken_out():
    """Items 0 and 1 were bought together by user 0 alone, 1 twice; 0 and 2 by user 1 too."""
    log = Histories.from_rows([[0, 1, 2, 1], [0, 2], [3, 4], [4, 5]], 6)
    evidence = Evidence(log, series([""] * 6))
    contexts = Histories.from_rows([[0]], 6)
    candidates = np.array([1, 2], np.int32)
    own, foreign = (
        evidence.features(contexts, np.zeros(2, int), np.array([user, user]), candidates, None, None) for user in (0, 2)
    )
    assert own[0, 0] == 0
    assert 0 < own[1, 0] < foreign[1, 0]
    assert foreign[0, 0] > 0
    assert np.expm1(own[:, 2]) == pytest.approx([0, 1])
    assert np.expm1(foreign[:, 2]) == pytest.approx([2, 2])


def test_a_generator_that_was_not_asked_is_not_known():
    evidence = Evidence(Histories.from_rows([[0, 1]], 2), series(["a", "b"]))
    contexts = Histories.from_rows([[0]], 2)
    found = evidence.features(contexts, np.array([0]), np.array([0]), np.array([1], np.int32), None, None)
    assert np.isnan(found[0]).tolist() == [False, False, False, True, True]
