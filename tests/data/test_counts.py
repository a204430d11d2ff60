import polars as pl
import pytest

from llmi2i_cli.data.counts import item_counts, mark_long_tail, user_counts


def test_counts_of_all_and_of_train():
    log = pl.DataFrame({"user_id": ["b", "b", "a"], "item_id": ["x", "y", "x"], "split": ["train", "test", "valid"]})
    assert sorted(item_counts(log).rows()) == [("x", 2, 1), ("y", 1, 0)]
    assert user_counts(log).rows() == [("b", 1), ("a", 0)]


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0.0, [False, False, False, False, False]),
        (0.25, [False, True, True, True, False]),  # both items with the boundary count, and the one never bought
        (0.5, [False, True, True, True, False]),
        (0.75, [False, True, True, True, True]),
        (1.0, [True, True, True, True, True]),
    ],
)
def test_the_train_tail_is_the_least_bought_share_with_its_whole_boundary(fraction, expected):
    items = pl.DataFrame({"count": [9, 0, 6, 5, 7], "train_count": [9, 0, 3, 3, 7]})
    marked = mark_long_tail(items, tail_max_count=5, tail_fraction=fraction)
    assert marked["is_train_tail"].to_list() == expected


def test_the_long_tail_is_bought_seldom_but_at_least_once():
    items = pl.DataFrame({"count": [0, 1, 5, 6], "train_count": [0, 0, 5, 6]})
    assert mark_long_tail(items, tail_max_count=5, tail_fraction=0.2)["is_long_tail"].to_list() == [
        False,
        True,
        True,
        False,
    ]


def test_a_share_that_is_whole_is_not_rounded_up():
    items = pl.DataFrame({"count": range(1, 11), "train_count": range(1, 11)})
    for tenths in range(1, 10):
        assert mark_long_tail(items, tail_max_count=5, tail_fraction=tenths / 10)["is_train_tail"].sum() == tenths


def test_what_was_never_bought_does_not_use_the_tail_up():
    items = pl.DataFrame({"count": [0] * 50 + [*range(1, 11)], "train_count": [0] * 50 + [*range(1, 11)]})
    marked = mark_long_tail(items, tail_max_count=5, tail_fraction=0.2)["is_train_tail"]
    assert marked[:50].all()
    assert marked[50:].to_list() == [True, True, *[False] * 8]
