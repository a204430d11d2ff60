from __future__ import annotations

import polars as pl

from llmi2i_cli.i2i.neighbours import tie_ranks
from llmi2i_cli.report.example_items import example_items


def catalogue(counts, long_tail):
    ids = [f"i{row}" for row in range(len(counts))]
    return pl.DataFrame(
        {"item_id": ids, "train_count": counts, "is_long_tail": [row in long_tail for row in range(len(ids))]}
    )


def test_six_never_bought_six_of_the_long_tail_and_bestsellers_to_make_twenty():
    counts = [0] * 10 + [3] * 10 + [50 - row for row in range(20)] + [50]
    items = catalogue(counts, long_tail=range(5, 20))  # some of those that train never has are of the long tail, too
    order = tie_ranks(len(counts)).tolist()
    found = {group.label: group.item_ids for group in example_items(items)}
    assert (
        found
        == {
            "Bestsellers": ["i20", "i40", *(f"i{row}" for row in range(21, 27))],  # of equal ones the first
            "Long tail": [f"i{row}" for row in sorted(range(10, 20), key=order.__getitem__)[:6]],
            "Never in train": [f"i{row}" for row in sorted(range(10), key=order.__getitem__)[:6]],
        }
    )
    assert list(found) == ["Bestsellers", "Long tail", "Never in train"]


def test_where_a_group_is_small_there_are_more_bestsellers():
    found = {group.label: group.item_ids for group in example_items(catalogue(list(range(1, 31)), long_tail=[3, 8]))}
    assert found["Bestsellers"] == [f"i{row}" for row in range(29, 11, -1)]
    assert sorted(found["Long tail"]) == ["i3", "i8"]
    assert "Never in train" not in found


def test_a_small_catalogue_is_shown_whole():
    found = {group.label: group.item_ids for group in example_items(catalogue([2, 0, 1], long_tail=[2]))}
    assert found == {"Bestsellers": ["i0"], "Long tail": ["i2"], "Never in train": ["i1"]}
