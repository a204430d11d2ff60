from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.features import CandidateRows
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.choices.evidence import FEATURES
from llmi2i_cli.i2i.bm25 import bm25_pairs
from llmi2i_cli.i2i.evidence import Evidence
from llmi2i_cli.i2i.recent_items import DECAY, RECENT_ITEMS
from tests.i2i.test_tf_idf import dense_cosine


def series(texts):
    return pl.Series("text", texts, pl.String)


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
    rows_asked = CandidateRows(contexts, context_of, users, candidates, logprobs, ranks)
    found = Evidence(log, series(texts)).features(rows_asked)
    assert (found.names, found.values.dtype, found.values.shape) == (tuple(FEATURES), np.float32, (7, 5))
    cosine = dense_cosine(texts)
    for n, candidate in enumerate(candidates):
        recent = contexts.row(context_of[n])[::-1][:RECENT_ITEMS]
        pairs = np.array([[item, candidate] for item in recent], np.int32).reshape(-1, 2)
        without = np.full(len(pairs), users[n], np.int32)
        bm25 = bm25_pairs(log).of(pairs, without_users=without)
        decay = DECAY ** np.arange(len(recent))
        count = sum(row.count(candidate) for user, row in enumerate(rows) if user != users[n])
        expected = {
            "bm25": float(bm25 @ decay),
            "text": float(cosine[recent, candidate] @ decay),
            "popularity": math.log1p(count),
            "logprob": logprobs[n],
            "rank": math.log(ranks[n]),
        }
        assert {name: found[name][n] for name in FEATURES} == pytest.approx(expected, rel=1e-5, abs=1e-6)
    some = Evidence(log, series(texts), ("rank", "text")).features(rows_asked)
    assert some.names == ("rank", "text")
    for name in some.names:
        np.testing.assert_array_equal(some[name], found[name])


def test_the_users_own_vote_is_taken_out():
    """Items 0 and 1 were bought together by user 0 alone, 1 twice; 0 and 2 by user 1 too."""
    log = Histories.from_rows([[0, 1, 2, 1], [0, 2], [3, 4], [4, 5]], 6)
    evidence = Evidence(log, series([""] * 6))
    contexts = Histories.from_rows([[0]], 6)
    candidates = np.array([1, 2], np.int32)
    own, foreign = (
        evidence.features(CandidateRows(contexts, np.zeros(2, int), np.array([user, user]), candidates))
        for user in (0, 2)
    )
    assert own["bm25"][0] == 0
    assert 0 < own["bm25"][1] < foreign["bm25"][1]
    assert foreign["bm25"][0] > 0
    assert np.expm1(own["popularity"]) == pytest.approx([0, 1])
    assert np.expm1(foreign["popularity"]) == pytest.approx([2, 2])


def test_a_generator_that_was_not_asked_is_not_known():
    evidence = Evidence(Histories.from_rows([[0, 1]], 2), series(["a", "b"]))
    contexts = Histories.from_rows([[0]], 2)
    found = evidence.features(CandidateRows(contexts, np.array([0]), np.array([0]), np.array([1], np.int32)))
    assert {name for name in found.names if np.isnan(found[name][0])} == {"logprob", "rank"}
