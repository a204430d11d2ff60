import random

import polars as pl
import pytest

from llmi2i_cli.data.clean import add_counts, cap, core_pass, degrees, order_and_dedupe
from llmi2i_cli.data.splits import SPLITS

SCHEMA = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}


def frame(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def random_rows(seed):
    rng = random.Random(seed)
    return [(rng.choice("abcüé"), rng.choice("xyzüä"), rng.randrange(5)) for _ in range(rng.randrange(50))]


def obviously_cleaned(rows):
    kept = list(dict.fromkeys(rows))
    return sorted(kept, key=lambda row: (row[0].encode(), row[2]))  # stable: equal times keep their order


@pytest.mark.parametrize("seed", range(50))
def test_order_and_duplicates_against_the_obvious(seed):
    rows = random_rows(seed)
    assert order_and_dedupe(frame(rows)).rows() == obviously_cleaned(rows)


@pytest.mark.parametrize("seed", range(20))
def test_duplicates_become_one_with_the_greatest_weight_the_latest_split_and_as_a_target(seed):
    rng = random.Random(seed)
    extra = [(rng.choice((0.2, 1.0, 3.0)), rng.choice(SPLITS), rng.random() < 0.3) for _ in range(50)]
    rows = [(*row, *more) for row, more in zip(random_rows(seed), extra, strict=False)]
    merged: dict[tuple, tuple] = {}
    for *key, weight, split, is_target in rows:
        old = merged.get(tuple(key), (weight, split, is_target))
        latest = max(old[1], split, key=SPLITS.index)
        merged[tuple(key)] = (max(old[0], weight), latest, old[2] or is_target)
    expected = [(*row, *merged[row]) for row in obviously_cleaned(merged)]
    schema = {**SCHEMA, "weight": pl.Float64, "split": pl.String, "is_target": pl.Boolean}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    assert order_and_dedupe(frame).rows() == expected
    assert order_and_dedupe(frame.drop("weight", "is_target")).rows() == [(*row[:3], row[4]) for row in expected]


def test_only_exact_duplicates_go():
    rows = [("a", "x", 2), ("a", "y", 2), ("a", "x", 2), ("a", "x", 3), ("b", "x", 2)]
    assert order_and_dedupe(frame(rows)).rows() == [rows[0], rows[1], rows[3], rows[4]]


def test_without_times_the_place_counts_and_nothing_is_a_duplicate():
    rows = [("b", "x", None), ("a", "y", None), ("b", "x", None), ("b", "y", None)]
    expected = [("a", "y", 0), ("b", "x", 0), ("b", "x", 1), ("b", "y", 2)]
    assert order_and_dedupe(frame(rows)).rows() == expected


def obvious_core(rows, min_user_items, min_item_users):
    rows = list(rows)
    while True:
        items_of: dict[str, set[str]] = {}
        users_of: dict[str, set[str]] = {}
        for user, item, _ in rows:
            items_of.setdefault(user, set()).add(item)
            users_of.setdefault(item, set()).add(user)
        left = [
            row for row in rows if len(items_of[row[0]]) >= min_user_items and len(users_of[row[1]]) >= min_item_users
        ]
        if left == rows:
            return rows
        rows = left


def core(log, min_user_items, min_item_users):
    """The loop of BucketedLog on one frame."""
    counts = degrees(log)
    while True:
        items = counts.filter(pl.col("n_users") >= min_item_users)["item_id"]
        left = core_pass(log, items, min_user_items)
        counts = degrees(left)
        if (counts["n_users"] >= min_item_users).all() and len(counts) == len(items):
            return left


@pytest.mark.parametrize("seed", range(50))
def test_the_core_against_the_obvious(seed):
    log = order_and_dedupe(frame(random_rows(seed)))
    min_user_items, min_item_users = random.Random(-seed).choices(range(4), k=2)
    assert core(log, min_user_items, min_item_users).rows() == obvious_core(log.rows(), min_user_items, min_item_users)


def test_repeats_do_not_make_a_core():
    log = frame([("a", "x", 1), ("a", "x", 2), ("a", "x", 3)])
    assert degrees(log).rows() == [("x", 1)]
    assert core_pass(log, pl.Series(["x"]), 2).is_empty()


def test_counts_add_up_and_are_sorted():
    parts = [pl.DataFrame({"item_id": ["b", "a"], "n": [1, 2]}), pl.DataFrame({"item_id": ["b"], "n": [5]})]
    assert add_counts(parts).rows() == [("a", 2), ("b", 6)]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_cap_keeps_the_most_recent(most):
    log = frame([("a", f"{t}", t) for t in range(4)] + [("b", "x", 0)])
    assert cap(log, most)["timestamp"].to_list() == [*range(max(0, 4 - most), 4), 0]
