from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi2i_cli.artifacts.features import Features
from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.llm import positions
from llmi2i_cli.llm.positions import (
    HISTORY,
    LIST_LENGTH,
    POSITIONS_PER_USER,
    hold_back_last,
    joined,
    positions_at_random,
    positions_held_back,
    positions_of_generator,
)
from tests.llm.tiny import random_histories

ROWS = st.lists(st.lists(st.integers(0, 7), max_size=6), max_size=8)


class Described:
    """Answers with what it was asked: the candidate, its user, its context and what the generator said."""

    def __call__(self, rows):
        nothing = np.full(len(rows), np.nan)
        opinion = (nothing if told is None else told for told in (rows.logprobs, rows.ranks))
        columns = (rows.items, rows.users, rows.context_of, *opinion)
        names = ("candidate", "user", "context", "logprob", "rank")
        return Features(names, np.stack(columns, axis=1).astype(np.float32))


def rows(histories):
    return [histories.row(user).tolist() for user in range(histories.n_users)]


@given(ROWS)
def test_hold_back_last_against_lists(log):
    past, users, items = hold_back_last(Histories.from_rows(log, 8))
    assert rows(past) == [row[:-1] if len(row) >= 2 else row for row in log]
    assert users.tolist() == [user for user, row in enumerate(log) if len(row) >= 2]
    assert items.tolist() == [row[-1] for row in log if len(row) >= 2]
    assert (past.ptr.dtype, past.n_items) == (np.int64, 8)


def test_what_is_held_back_leaves_the_weights_of_the_rest():
    log = Histories.from_rows([[3, 1, 2], [4], [0, 5]], 8)
    weighted = Histories(log.ptr, log.items, 8, np.arange(6, dtype=np.float32))
    assert hold_back_last(weighted)[0].weight_of_each().tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_at_random_every_position_is_judged_from_its_own_past(negatives):
    log = random_histories(40, 30, seed=3, longest=25)
    found = positions_at_random(log, negatives, Described(), negatives_per_positive=6, seed=1)
    expected = []
    for user, row in enumerate(rows(log)):
        for back in range(min(len(row) - 1, POSITIONS_PER_USER)):
            place = len(row) - 1 - back
            expected.append((user, row[max(0, place - HISTORY) : place], row[place]))
    assert found.users.tolist() == [user for user, _, _ in expected]
    assert rows(found.contexts) == [past for _, past, _ in expected]
    for p, (user, _, target) in enumerate(expected):
        at = found.rows(p)
        assert found.labels[at].tolist() == [True] + [False] * (at.stop - at.start - 1)
        assert found.candidates[at][0] == target
        assert not set(found.candidates[at][1:].tolist()) & set(log.row(user).tolist())
        assert 1 <= at.stop - at.start <= 7
        assert (found.features["user"][at] == user).all()
        assert (found.features["context"][at] == p).all()
    assert (found.features["candidate"] == found.candidates).all()
    for name in ("logprob", "rank"):
        assert np.isnan(found.features[name]).all()  # no generator was asked
    again = positions_at_random(log, negatives, Described(), negatives_per_positive=6, seed=1)
    assert (again.candidates == found.candidates).all()
    other = positions_at_random(log, negatives, Described(), negatives_per_positive=6, seed=2)
    assert other.candidates.tolist() != found.candidates.tolist()


def test_negatives_by_popularity_follow_the_log():
    log = Histories.from_rows([[0, 1]] * 50 + [[2, 2, 2]] * 50 + [[3, 4]] * 5, 6)
    shares = {}
    for negatives in ("uniform", "popularity"):
        found = positions_at_random(log, negatives, Described(), negatives_per_positive=40, seed=0)
        user_of_each = np.repeat(found.users, np.diff(found.candidate_ptr))
        drawn = found.candidates[~found.labels & (user_of_each < 50)]
        shares[negatives] = np.bincount(drawn, minlength=6) / len(drawn)
    assert np.abs(shares["uniform"] - [0, 0, 0.25, 0.25, 0.25, 0.25]).max() < 0.05
    assert np.abs(shares["popularity"] - [0, 0, 150 / 160, 5 / 160, 5 / 160, 0]).max() < 0.05


def test_a_user_of_one_item_has_no_position():
    found = positions_at_random(
        Histories.from_rows([[1], []], 3), "uniform", Described(), negatives_per_positive=2, seed=0
    )
    assert len(found.users) == len(found.candidates) == 0
    assert found.candidate_ptr.tolist() == [0]


def test_held_back_items_against_the_catalogue():
    log = random_histories(30, 12, seed=5, longest=8)
    past, users, items = hold_back_last(log)
    found = positions_held_back(past, users[::2], items[::2], Described(), negatives_per_positive=5, seed=1)
    assert found.users.tolist() == users[::2].tolist()
    for p, (user, item) in enumerate(zip(users[::2], items[::2], strict=True)):
        at = found.rows(p)
        assert found.contexts.row(p).tolist() == log.row(user)[:-1].tolist()  # the past, and nothing of what is asked
        assert found.candidates[at][0] == item
        assert found.labels[at].tolist() == [True] + [False] * (at.stop - at.start - 1)
        assert not set(found.candidates[at][1:].tolist()) & set(log.row(user).tolist())


def propose(monkeypatch, listed, logprobs, asked):
    def rank_users(generator, users, histories, seen, *, history, top_n):
        asked.append((generator, users.tolist(), rows(histories), rows(seen), history, top_n))
        for start in range(0, len(users), 2):
            yield listed[users[start : start + 2]], logprobs[users[start : start + 2]]

    monkeypatch.setattr(positions, "rank_users", rank_users)


@pytest.mark.parametrize("negatives_per_positive", [1, 5, LIST_LENGTH])
def test_of_a_generator_what_came_next_against_the_rest_of_its_list(monkeypatch, negatives_per_positive):
    rng = np.random.default_rng(0)
    n_users, n_items = 20, 60
    past = random_histories(n_users, n_items, seed=1)
    observed = random_histories(n_users, n_items, seed=2, shortest=0, longest=3)
    listed = np.stack([rng.permutation(n_items)[:LIST_LENGTH] for _ in range(n_users)]).astype(np.int32)
    listed[3, 20:] = -1  # a user who has seen all but twenty
    logprobs = -rng.random((n_users, LIST_LENGTH)).astype(np.float32)
    asked: list = []
    propose(monkeypatch, listed, logprobs, asked)
    users = np.arange(1, n_users)
    blocks = []
    found = positions_of_generator(
        "the generator",  # type: ignore[arg-type]
        past,
        users,
        observed,
        Described(),
        negatives_per_positive=negatives_per_positive,
        seed=4,
        on_block=lambda: blocks.append(1),
    )
    assert asked == [("the generator", users.tolist(), rows(past), rows(past), HISTORY, LIST_LENGTH)]
    assert len(blocks) == 10
    hit = [user for user in users.tolist() if set(listed[user].tolist()) & set(observed.row(user).tolist())]
    assert 3 < len(hit) < len(users)
    assert found.users.tolist() == hit
    assert rows(found.contexts) == [past.row(user).tolist() for user in hit]
    for p, user in enumerate(hit):
        at = found.rows(p)
        offered = [item for item in listed[user].tolist() if item >= 0]
        yes = [item for item in offered if item in observed.row(user)]
        drawn = found.candidates[at].tolist()
        assert [item for item, label in zip(drawn, found.labels[at], strict=True) if label] == yes
        assert len(drawn) == min(len(offered), len(yes) + negatives_per_positive)
        assert len(set(drawn)) == len(drawn)
        places = [offered.index(item) for item in drawn]
        assert places == sorted(places)
        assert found.features["logprob"][at].tolist() == logprobs[user][places].tolist()
        assert found.features["rank"][at].tolist() == [place + 1 for place in places]
        assert (found.features["user"][at] == user).all()


def test_a_generator_that_hits_nothing_gives_no_position(monkeypatch):
    past = Histories.from_rows([[0], [1]], 40)
    listed = np.tile(np.arange(2, 32, dtype=np.int32), (2, 1))
    propose(monkeypatch, listed, np.zeros((2, LIST_LENGTH), np.float32), [])
    observed = Histories.from_rows([[33], []], 40)
    for users in (np.arange(2), np.arange(0)):
        found = positions_of_generator(
            None,  # type: ignore[arg-type]
            past,
            users,
            observed,
            Described(),
            negatives_per_positive=3,
            seed=0,
        )
        assert len(found.users) == len(found.candidates) == 0


def test_joined_holds_the_one_and_then_the_other():
    log = random_histories(10, 9, seed=0)
    first = positions_at_random(log, "uniform", Described(), negatives_per_positive=2, seed=0)
    past, users, items = hold_back_last(log)
    second = positions_held_back(past, users, items, Described(), negatives_per_positive=3, seed=0)
    both = joined(first, second)
    assert len(both.users) == len(first.users) + len(second.users)
    for part, offset in ((first, 0), (second, len(first.users))):
        for p in range(len(part.users)):
            assert both.users[offset + p] == part.users[p]
            assert both.contexts.row(offset + p).tolist() == part.contexts.row(p).tolist()
            at, there = both.rows(offset + p), part.rows(p)
            for name in ("candidates", "labels"):
                np.testing.assert_array_equal(getattr(both, name)[at], getattr(part, name)[there])
            np.testing.assert_array_equal(both.features.values[at], part.features.values[there])
    assert both.features.names == first.features.names


def test_saved_positions_are_the_same(tmp_path):
    log = random_histories(20, 8, seed=3)
    found = positions_at_random(log, "uniform", Described(), negatives_per_positive=3, seed=1)
    found.save(tmp_path / "positions.npz")
    again = positions.Positions.load(tmp_path / "positions.npz")
    assert rows(again.contexts) == rows(found.contexts)
    assert again.contexts.n_items == 8
    assert again.features.names == found.features.names
    np.testing.assert_array_equal(again.features.values, found.features.values)
    for name in ("users", "candidate_ptr", "candidates", "labels"):
        expected = getattr(found, name)
        np.testing.assert_array_equal(getattr(again, name), expected)
        assert getattr(again, name).dtype == expected.dtype
