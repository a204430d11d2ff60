"""LLM-CF's votes against a plain loop over all examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.llm import llm_cf

HISTORY = 2
GENERATOR: Any = None  # what the states come from in these tests


@pytest.fixture
def generator(monkeypatch):
    """In the place of a language model: the state after a history is made of its items' random vectors."""
    vectors = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)

    def states_after(generator, asked):
        return torch.from_numpy(
            np.stack([vectors[items].T @ np.arange(1, len(items) + 1) for _, items in asked])
        ).float()

    monkeypatch.setattr(llm_cf, "states_after", states_after)
    return vectors


def state(vectors, items):
    items = items[-HISTORY:]
    summed = sum(place * vectors[item] for place, item in enumerate(items, 1))
    return summed / np.linalg.norm(summed)


def plain_votes(vectors, rows, user, n_examples):
    """The votes for each item: of all examples of others the nearest, each with its cosine."""
    examples = [
        (float(state(vectors, row[:place]) @ state(vectors, rows[user])), row[place])
        for other, row in enumerate(rows)
        if other != user
        for place in range(1, len(row))
    ]
    votes: dict[int, float] = {}
    for cosine, target in sorted(examples, reverse=True)[:n_examples]:
        if cosine > 0 and target not in rows[user]:
            votes[target] = votes.get(target, 0) + cosine
    return votes


@pytest.mark.parametrize("n_examples", [4, 100])
def test_what_followed_the_most_similar_histories_of_others(generator, monkeypatch, n_examples):
    monkeypatch.setattr(llm_cf, "EXAMPLES", n_examples)
    monkeypatch.setattr(llm_cf, "EMBEDDED_AT_ONCE", 7)
    monkeypatch.setattr(llm_cf, "CHUNK_COSINES", 100)  # a few users together
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 10, length).tolist() for length in (5, 1, 0, 7, 2, 4, 6)]
    log = Histories.from_rows(rows, 12)
    users = [0, 1, 3, 4, 5, 6]  # all that have something to go on from
    items, logprobs = llm_cf.of_others(GENERATOR, log, HISTORY, 5)(users)
    assert (items.dtype, logprobs.dtype) == (np.int32, np.float32)
    assert items.shape == logprobs.shape == (6, 5)
    for row, user in enumerate(users):
        votes = plain_votes(generator, rows, user, n_examples)
        best = sorted(votes, key=votes.__getitem__, reverse=True)[:5]
        n = len(best)
        assert items[row].tolist() == best + [-1] * (5 - n)
        total = sum(votes.values())
        assert logprobs[row, :n] == pytest.approx([np.log(votes[item] / total) for item in best], abs=1e-5)
        assert np.isneginf(logprobs[row, n:]).all()


def test_a_users_own_examples_have_no_vote(generator):
    # The only histories like the first user's are the user's own; the second user's are like nobody's.
    log = Histories.from_rows([[0, 1, 2, 0, 1], [3, 4]], 12)
    items, _ = llm_cf.of_others(GENERATOR, log, HISTORY, 3)([0])
    assert set(items[0].tolist()) <= {4, -1}


def test_a_user_without_votes_gets_nothing(generator):
    log = Histories.from_rows([[0, 1], [0]], 12)
    items, logprobs = llm_cf.of_others(GENERATOR, log, HISTORY, 3)([0])
    assert items.tolist() == [[-1, -1, -1]]
    assert np.isneginf(logprobs).all()


def test_a_log_without_examples(generator):
    with pytest.raises(ArtifactError, match="no user with two train interactions"):
        llm_cf.of_others(GENERATOR, Histories.from_rows([[0], [1]], 12), HISTORY, 3)
