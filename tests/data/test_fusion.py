"""Fusing: rows to the last one, and the arrays that tuning trains on against the table that is written."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from llmi2i_cli.artifacts.histories import Histories
from llmi2i_cli.artifacts.schemas import FUSED
from llmi2i_cli.choices.strategies import ORDERS, STRATEGIES, WEIGHTS
from llmi2i_cli.data.fused_table import Synthetic, fused_rows, pseudo_suffix, synthetic_times
from llmi2i_cli.data.fusion import (
    Candidates,
    Choice,
    fuse_histories,
    plan_of,
    select,
    weights_of,
    without_noise,
)
from tests.artifacts.plain_log import plain_histories

REAL = pl.DataFrame(
    {
        "user_id": ["b", "b", "a", "c"],
        "item_id": ["x", "y", "y", "x"],
        "timestamp": [10, 20, 5, 7],
    }
)
SYNTHETIC = pl.DataFrame(
    {
        "user_id": ["a", "b", "b"],
        "item_id": ["z", "z", "w"],
        "weight": pl.Series([1.0, 0.5, 0.25], dtype=pl.Float32),
    }
)


def fused_table(real, synthetic, choice, suffix):
    """The rows by names, from rows by names."""
    user_ids, item_ids = real["user_id"].unique(maintain_order=True), pl.Series(["w", "x", "y", "z"])
    users = {name: row for row, name in enumerate(user_ids)}
    items = {name: row for row, name in enumerate(item_ids)}
    log = Histories.from_rows(
        [[items[item] for item in real.filter(user_id=user)["item_id"]] for user in user_ids], len(items)
    )
    rows = sorted(((users[u], items[i], w) for u, i, w in synthetic.rows()), key=lambda row: row[0])
    chosen = candidates_of([(user, item, rank, weight, True) for rank, (user, item, weight) in enumerate(rows, 1)])
    choice = replace(choice, weight="confidence")
    return table_of(log, real["timestamp"].to_numpy(), chosen, np.arange(len(rows)), choice, user_ids, item_ids, suffix)


def table_of(log, times, candidates, chosen, choice, user_ids, item_ids, suffix):
    synthetic = Synthetic(
        candidates.items[chosen],
        synthetic_times(log, times, candidates.users[chosen]),
        weights_of(log, candidates, chosen, choice.weight),
    )
    plan = plan_of(log, candidates, chosen, choice)
    blocks = fused_rows(plan, log, times, synthetic, user_ids=user_ids, item_ids=item_ids, suffix=suffix)
    return pl.concat([pl.DataFrame(schema=dict(FUSED)), *blocks])


APPEND, PSEUDO = Choice("append", "rank", 9, 0.0), Choice("pseudo-user", "rank", 9, 0.0)


def candidates_of(rows):
    """From (user, item, rank, confidence, keep)."""
    users, items, ranks, confidences, keep = zip(*rows, strict=True) if rows else ([],) * 5
    return Candidates(
        np.array(users, np.int64),
        np.array(items, np.int32),
        np.array(ranks, np.int32),
        np.array(confidences, np.float32),
        np.array(keep, bool),
    )


def random_candidates(rng, n_users, n_items):
    """Some users have none; confidences tie."""
    rows = []
    for user in range(n_users):
        items = rng.sample(range(n_items), rng.choice((0, 0, 1, 3, 8)))
        rows += [
            (user, item, rank, rng.choice((0.1, 0.5, 0.5, 0.9)), rng.random() < 0.5)
            for rank, item in enumerate(items, start=1)
        ]
    return candidates_of(rows)


def selected_plainly(candidates, choice):
    """The definition in the words of `Choice`: order a user's, take the first N, of these the sure ones."""
    chosen = []
    for user in sorted(set(candidates.users.tolist())):
        rows = [row for row, owner in enumerate(candidates.users) if owner == user]
        by_rank = sorted(rows, key=lambda row: candidates.ranks[row])
        if choice.order == "confidence":
            by_rank.sort(key=lambda row: -candidates.confidences[row])  # stable: equal ones stay in rank order
        for row in sorted(by_rank[: choice.recall_number], key=lambda row: candidates.ranks[row]):
            if choice.min_confidence is None:
                sure = candidates.keep[row]
            else:
                sure = candidates.confidences[row] >= np.float32(choice.min_confidence)
            if sure:
                chosen.append(row)
    return chosen


@pytest.mark.parametrize("order", [order for order in ORDERS if order != "random"])
@pytest.mark.parametrize("recall_number", [0, 1, 2, 5, 1 << 30])
@pytest.mark.parametrize("min_confidence", [None, 0.0, 0.5, 0.9, 1.0])
def test_selection_equals_its_plain_twin(order, recall_number, min_confidence):
    rng = random.Random(1)
    choice = Choice("append", order, recall_number, min_confidence)
    for _ in range(10):
        candidates = random_candidates(rng, n_users=12, n_items=20)
        assert select(candidates, choice).tolist() == selected_plainly(candidates, choice)
    nobody = candidates_of([])
    assert select(nobody, choice).tolist() == []


def test_a_threshold_takes_the_confidence_that_equals_it():
    third = float(np.float32(1 / 3))
    candidates = candidates_of([(0, 0, 1, 1 / 3, False), (0, 1, 2, 0.3, True)])
    assert select(candidates, Choice("append", "rank", 9, third)).tolist() == [0]
    assert select(candidates, Choice("append", "rank", 9, 1 / 3)).tolist() == [0]  # float64, rounded as the column is


def test_append_puts_synthetic_rows_behind_their_users_own():
    fused = fused_table(REAL, SYNTHETIC, APPEND, "#llm")
    assert fused.schema == pl.Schema(FUSED)
    assert fused.rows() == [
        ("b", "x", 10, "real", 1.0, "b"),
        ("b", "y", 20, "real", 1.0, "b"),
        ("b", "z", 21, "synthetic", 0.5, "b"),
        ("b", "w", 22, "synthetic", 0.25, "b"),
        ("a", "y", 5, "real", 1.0, "a"),
        ("a", "z", 6, "synthetic", 1.0, "a"),
        ("c", "x", 7, "real", 1.0, "c"),
    ]


def test_a_pseudo_user_has_a_copy_and_the_real_log_stays():
    fused = fused_table(REAL, SYNTHETIC, PSEUDO, "#llm")
    assert fused.schema == pl.Schema(FUSED)
    assert fused.rows() == [
        ("b", "x", 10, "real", 1.0, "b"),
        ("b", "y", 20, "real", 1.0, "b"),
        ("a", "y", 5, "real", 1.0, "a"),
        ("c", "x", 7, "real", 1.0, "c"),
        ("b#llm", "x", 10, "copied", 1.0, "b"),
        ("b#llm", "y", 20, "copied", 1.0, "b"),
        ("b#llm", "z", 21, "synthetic", 0.5, "b"),
        ("b#llm", "w", 22, "synthetic", 0.25, "b"),
        ("a#llm", "y", 5, "copied", 1.0, "a"),
        ("a#llm", "z", 6, "synthetic", 1.0, "a"),
    ]


def test_a_pseudo_user_copies_no_more_of_the_history_than_asked():
    choice = Choice("pseudo-user", "rank", 9, 0.0, copied_history=1)
    pseudo = fused_table(REAL, SYNTHETIC, choice, "#llm").filter(pl.col("source") != "real")
    assert pseudo.select("user_id", "item_id", "source").rows() == [
        ("b#llm", "y", "copied"),
        ("b#llm", "z", "synthetic"),
        ("b#llm", "w", "synthetic"),
        ("a#llm", "y", "copied"),
        ("a#llm", "z", "synthetic"),
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_candidates_the_fused_log_is_the_real_one(strategy):
    fused = fused_table(REAL, SYNTHETIC.clear(), Choice(strategy, "rank", 9, 0.0), "#llm")
    assert fused.schema == pl.Schema(FUSED)
    assert fused.select("user_id", "item_id", "timestamp").equals(REAL)
    assert set(fused["source"]) == {"real"}
    assert set(fused["weight"]) == {1.0}


def test_the_newest_row_of_a_user_counts_and_not_the_last():
    shuffled = REAL.filter(user_id="b").reverse()
    assert fused_table(shuffled, SYNTHETIC[1:], APPEND, "")["timestamp"].to_list() == [20, 10, 21, 22]


@pytest.mark.parametrize(
    ("ids", "suffix"),
    [
        (["a", "b"], "#llm"),
        (["a", "a#llm"], "#llm#"),
        (["a", "a#llm", "b#llm#"], "#llm##"),
        (["#llm"], "#llm#"),
        (["a#llmx", "#llm-b"], "#llm"),
        ([], "#llm"),
    ],
)
def test_pseudo_users_meet_no_real_user(ids, suffix):
    users = pl.Series(ids, dtype=pl.String)
    assert pseudo_suffix(users) == suffix
    assert not {user + suffix for user in ids} & set(ids)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("copied_history", [None, 1, 3])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_arrays_equal_the_table_read_back(monkeypatch, strategy, weight, copied_history):
    """What tuning trains on is what `fuse` would write: the same rows per user, for users with and without any."""
    rng = random.Random(5)
    for _ in range(10):
        n_users, n_items = 9, 15
        rows = [[rng.randrange(n_items) for _ in range(rng.choice((0, 1, 2, 6)))] for _ in range(n_users)]
        real = Histories.from_rows(rows, n_items)
        candidates = random_candidates(rng, n_users, n_items)
        has_history = real.lengths[candidates.users] > 0
        candidates = Candidates(**{name: values[has_history] for name, values in vars(candidates).items()})
        choice = Choice(strategy, "rank", 3, 0.5, copied_history, weight)
        chosen = select(candidates, choice)
        fused = fuse_histories(real, candidates, chosen, choice)

        user_ids = pl.Series([f"u{u}" for u in range(n_users)])
        item_ids = pl.Series([f"i{i}" for i in range(n_items)])
        times = np.arange(len(real.items))
        monkeypatch.setattr("llmi2i_cli.data.fused_table.ROWS_AT_ONCE", rng.choice((1, 7, 1000)))
        table = table_of(real, times, candidates, chosen, choice, user_ids, item_ids, "#llm")
        pseudo = [f"u{u}#llm" for u in sorted(set(candidates.users[chosen].tolist()))]
        names = [*user_ids, *(pseudo if strategy == "pseudo-user" else [])]
        read_back = plain_histories(table, names, item_ids)
        assert np.array_equal(fused.ptr, read_back.ptr)
        assert np.array_equal(fused.items, read_back.items)
        assert fused.n_items == n_items
        assert fused.items.dtype == np.int32
        assert fused.weights is not None
        assert read_back.weights is not None
        assert fused.weights.dtype == np.float32
        assert np.array_equal(fused.weights, read_back.weights)


def test_candidates_weigh_one_or_their_confidence():
    candidates = candidates_of([(0, 0, 1, 0.25, True), (0, 1, 2, 0.75, True), (1, 0, 1, 0.5, True)])
    real = Histories.from_rows([[0], [1]], 2)
    assert weights_of(real, candidates, np.array([0, 2]), "confidence").tolist() == [0.25, 0.5]
    assert weights_of(real, candidates, np.array([0, 2]), "one").tolist() == [1.0, 1.0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_real_rows_and_their_copies_keep_their_weights_and_candidates_weigh_the_users_mean(strategy):
    log = Histories.from_rows([[0, 1], [2, 0, 2], []], 4)
    real = Histories(log.ptr, log.items, 4, np.array([1, 3, 0.5, 0.25, 0], np.float32))
    candidates = candidates_of([(0, 3, 1, 0.5, True), (1, 3, 1, 0.5, True)])
    choice = Choice(strategy, "rank", 9, 0.0, weight="confidence")
    fused = fuse_histories(real, candidates, np.array([0, 1]), choice)
    assert fused.weights is not None
    expected = {
        "append": [1, 3, 1.0, 0.5, 0.25, 0, 0.125],
        "pseudo-user": [1, 3, 0.5, 0.25, 0, 1, 3, 1.0, 0.5, 0.25, 0, 0.125],
    }
    assert fused.weights.tolist() == expected[strategy]
    names = pl.Series(["a", "b", "c"]), pl.Series(["w", "x", "y", "z"])
    table = table_of(real, np.arange(5), candidates, np.array([0, 1]), choice, *names, "#llm")
    assert table["weight"].to_list() == expected[strategy]


def test_a_random_order_takes_as_many_of_everyone_and_repeats():
    rows = [(user, item, item + 1, item / 20, True) for user in range(200) for item in range(10)]
    candidates = candidates_of(rows)
    chosen = select(candidates, Choice("append", "random", 3, 0.0))
    assert np.bincount(candidates.users[chosen]).tolist() == [3] * 200
    assert chosen.tolist() == select(candidates, Choice("append", "random", 3, 0.0)).tolist()
    times = np.bincount(candidates.items[chosen], minlength=10)
    assert times.min() > 35  # of 60 expected of each rank: no rank is preferred
    assert times.max() < 85
    deeper = select(candidates, Choice("append", "random", 5, 0.0))
    assert set(chosen) < set(deeper)  # the same order, cut later


JUDGED = pl.DataFrame(
    {
        "user_id": ["a", "a", "a", "b", "c", "c"],
        "item_id": ["u", "v", "w", "u", "v", "w"],
        "confidence": [0.3, 0.9, 0.1, 0.0, 0.3, 0.6],
        "keep": [False, True, False, True, True, True],
    }
)


@pytest.mark.parametrize(
    ("share", "left"),
    [
        (0.0, [0, 1, 2, 3, 4, 5]),
        (0.08, [0, 1, 2, 3, 4, 5]),
        (0.17, [0, 1, 3, 4, 5]),  # the least confident but for b's only interaction
        (0.34, [1, 3, 4, 5]),  # of two equal ones the first
        (0.5, [1, 3, 5]),
        (0.99, [3]),
    ],
)
def test_the_least_confident_real_interactions_go_first(share, left):
    log = Histories.from_rows([[0, 1, 2], [0], [1, 2]], 3)
    confidences = JUDGED["confidence"].to_numpy().astype(np.float32)
    assert np.flatnonzero(without_noise(log, confidences, share)).tolist() == left
